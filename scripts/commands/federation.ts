import { actionOf, needed } from '../lib/administration.ts';
import type { Command, OptionValues } from '../lib/command.ts';
import { EXIT } from '../lib/errors.ts';
import type { FederationAnswer } from '../lib/federation/administration.ts';
import { NODE_OPTION, settingsOfNode } from '../lib/one-node.ts';
import type { Settings } from '../lib/settings.ts';
import { ensureStateFolder, withNodeLock } from '../lib/state-folder.ts';

const ACTIONS = ['init', 'card', 'add-peer', 'remove-peer', 'peers', 'certs'] as const;

export const command: Command = {
  name: 'federation',
  summary: 'Meet other nodes: certificates, peers, and what they may do here',
  args: [
    { usage: '<action>', summary: 'init, card, add-peer, remove-peer, peers or certs' },
    { usage: '[what]', summary: 'add-peer: the other node\'s card (a file, or - for standard input); remove-peer: its stack id' },
  ],
  options: [
    { flags: '--stack-id <id>', summary: 'init: the name of this node among all nodes' },
    { flags: '--url <url>', summary: 'init: where other nodes reach its peers\' listener, e.g. https://agents.acme.example:50084' },
    { flags: '--names <list>', summary: 'init: further host names and addresses for its certificate' },
    { flags: '--region <region>', summary: 'init: its region, by which runs may be sent to it' },
    { flags: '--cert <file>', summary: 'init, certs: a certificate of your own authority, in place of one made here' },
    { flags: '--key <file>', summary: 'init, certs: its key' },
    { flags: '--ca <file>', summary: 'init, certs: the authority that it is from' },
    { flags: '--tenants <list>', summary: 'add-peer: tenants that the other node may speak for here; * is all of them' },
    { flags: '--scopes <list>', summary: 'add-peer: what it may ask for them at most; all that their principals may when left out' },
    { flags: '--fingerprint <sha256>', summary: 'add-peer: the fingerprint that the other operator read to you; another one is refused' },
    { flags: '--renew', summary: 'certs: a new key and certificate for this node now' },
    NODE_OPTION,
  ],
  examples: [
    'agentos federation init --stack-id stk_acme --url https://agents.acme.example:50084',
    'agentos federation card > stk_acme.card.json',
    'agentos federation add-peer stk_partner.card.json --tenants tnt_acme --fingerprint 3A:91:...',
    'agentos federation peers',
    'agentos federation certs --renew',
  ],
  async run(context, args, options) {
    const action = actionOf('federation', ACTIONS, args[0]);
    const settings = settingsOfNode(context, options);
    const work = await import('../lib/federation/administration.ts');
    if (action === 'card') {
      const { cardOf } = await import('../lib/federation/set-up.ts');
      const card = cardOf(settings.home);
      context.output.result(card, JSON.stringify(card, null, 2));
      return EXIT.ok;
    }
    const answer = action === 'peers' ? await work.listPeers(settings)
      : action === 'certs' && options['renew'] !== true && options['cert'] === undefined ? work.listCertificates(settings)
        : await changing(settings, action, () => change(settings, action, args[1], options, work));
    context.output.result(answer.document, answer.text);
    return answer.exitCode ?? EXIT.ok;
  },
};

/** Under the node's lock, so that it does not change while `up` reads it. */
function changing(settings: Settings, action: string, work: () => Promise<FederationAnswer>): Promise<FederationAnswer> {
  ensureStateFolder(settings.home);
  return withNodeLock(settings.home, `federation ${action}`, work);
}

type Work = typeof import('../lib/federation/administration.ts');

async function change(settings: Settings, action: 'init' | 'add-peer' | 'remove-peer' | 'certs', word: string | undefined, options: OptionValues, work: Work): Promise<FederationAnswer> {
  if (action === 'init') return work.init(settings, options);
  if (action === 'certs') return work.renew(settings, options);
  if (action === 'add-peer') return work.addPeerFrom(settings, needed(word, 'the card of the other node', 'agentos federation add-peer stk_partner.card.json --tenants tnt_acme'), options);
  return work.removePeerOf(settings, needed(word, 'the stack id of the peer', 'agentos federation remove-peer stk_partner'));
}
