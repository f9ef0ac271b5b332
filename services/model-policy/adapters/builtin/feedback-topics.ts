/**
 * Subjects that feedback on products and services keeps coming back to, with the word stems that name them and the
 * remedy to propose when people complain. Subjects that are not listed are found by their frequency.
 */
export interface FeedbackTopic {
  readonly name: string;
  readonly stems: readonly string[];
  /** Two-word names, lower case, as they stand in the text. */
  readonly phrases?: readonly string[];
  readonly remedy: string;
  /** Topics that a clause counts for in place of this one: "shipping was slow" is about shipping, not about speed. */
  readonly yieldsTo?: readonly string[];
}

export const FEEDBACK_TOPICS: readonly FeedbackTopic[] = [
  { name: 'battery', stems: ['battery', 'charge', 'charging', 'charger', 'recharge', 'recharging', 'standby'], phrases: ['power bank'], remedy: 'Fix battery life and charging' },
  { name: 'shipping', stems: ['ship', 'shipp', 'shipment', 'delivery', 'deliver', 'courier', 'arrive', 'arriv', 'parcel', 'dispatch'], remedy: 'Fix shipping times and delivery handling' },
  { name: 'packaging', stems: ['packag', 'package', 'packaging', 'box', 'carton', 'unbox'], remedy: 'Improve the packaging' },
  { name: 'price', stems: ['price', 'pric', 'pricey', 'cost', 'expensive', 'overpriced', 'cheap', 'afford', 'affordable', 'money', 'discount', 'subscription'], remedy: 'Review the price and what is included in it' },
  { name: 'app stability', stems: ['crash', 'freez', 'freeze', 'froze', 'bug', 'buggy', 'glitch', 'glitchy'], remedy: 'Fix the crashes and freezes' },
  { name: 'app', stems: ['app', 'software', 'firmware', 'login', 'ui', 'interface', 'menu', 'updates'], phrases: ['an update', 'the update', 'this update', 'last update', 'latest update', 'after update'], remedy: 'Fix the app and its updates', yieldsTo: ['app stability'] },
  { name: 'connectivity', stems: ['bluetooth', 'wifi', 'pair', 'connect', 'connection', 'disconnect', 'sync', 'syncs'], phrases: ['wi-fi', 'wi fi'], remedy: 'Fix pairing and dropped connections' },
  { name: 'customer support', stems: ['support', 'agent', 'helpdesk', 'representative'], phrases: ['customer service', 'customer care'], remedy: 'Make customer support faster and more helpful' },
  { name: 'returns and warranty', stems: ['refund', 'warranty', 'replacement', 'exchange', 'guarantee'], remedy: 'Simplify refunds, returns and warranty claims' },
  { name: 'build quality', stems: ['flimsy', 'sturdy', 'durable', 'durability', 'hinge', 'plastic', 'crack', 'scratch', 'stitch', 'seam', 'zipper', 'strap', 'button'], phrases: ['build quality', 'fell apart', 'broke after'], remedy: 'Strengthen the build quality' },
  { name: 'setup and instructions', stems: ['setup', 'manual', 'instruction', 'assembly', 'assemble', 'assembl', 'install', 'installation', 'onboard'], phrases: ['set up', 'setting up'], remedy: 'Simplify setup and rewrite the instructions' },
  { name: 'sound', stems: ['sound', 'audio', 'volume', 'bass', 'microphone', 'mic', 'speaker'], phrases: ['noise cancelling', 'noise cancellation'], remedy: 'Improve sound and microphone quality' },
  { name: 'screen', stems: ['screen', 'display', 'brightness', 'resolution', 'touchscreen'], remedy: 'Improve the screen' },
  { name: 'camera', stems: ['camera', 'photo', 'lens'], remedy: 'Improve the camera', yieldsTo: ['app', 'app stability'] },
  { name: 'size and fit', stems: ['size', 'siz', 'fit', 'fitt'], phrases: ['too tight', 'too loose', 'runs small', 'runs large'], remedy: 'Correct the sizing and say it clearly' },
  { name: 'comfort', stems: ['comfort', 'comfortable', 'comfy', 'uncomfortable', 'ergonomic', 'cushion'], remedy: 'Improve comfort' },
  { name: 'speed', stems: ['speed', 'slow', 'slowly', 'lag', 'laggy', 'performance', 'sluggish'], remedy: 'Make it faster', yieldsTo: ['shipping', 'customer support', 'battery'] },
  { name: 'noise', stems: ['noise', 'noisy', 'loud', 'rattl', 'rattle', 'buzz', 'squeak', 'hum'], remedy: 'Reduce the noise' },
  { name: 'design', stems: ['design', 'color', 'colour', 'style', 'finish'], remedy: 'Revisit the design' },
];
