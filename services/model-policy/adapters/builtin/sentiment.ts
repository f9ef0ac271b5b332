/** Sentiment by a small lexicon with negation: enough to say which way a theme leans, not to judge a person. */
import { words } from './text.ts';

const POSITIVE = new Set(
  ('amazing awesome beautiful best better bright clear comfortable comfy convenient crisp delight delighted durable easy effective effortless elegant enjoy ' +
    'enjoyed enjoying excellent exceptional fair fantastic fast faster fine flawless flawlessly friendly fun generous gentle glad good gorgeous great ' +
    'handy happiest happy helpful impressed impressive incredible intuitive lightweight love loved lovely loves loving nice outstanding painless perfect ' +
    'perfectly pleasant pleased polite premium prompt quick quickly quiet recommend recommended reliable responsive rich satisfied seamless sharp ' +
    'simple sleek smooth smoothly snappy solid spotless stable sturdy stunning superb superior sweet thrilled value versatile vibrant warm ' +
    'wonderful works worked worth').split(' '),
);

const NEGATIVE = new Set(
  ('abysmal apologised apologized cancelled canceled closes creaks creaky crushed deleted deletes dim dropped empty forever hangs hiss ignores lied lies misses muffled nowhere overcharged refuses scam scratches shattered short stolen stops stutters thin tinny twice unreadable unusable vague vanished annoyed annoying annoyance atrocious awful awkward bad badly bent blurry broke broken breaks buggy bug bugs burned burnt charged cheaply ' +
    'clumsy complaint confusing crack cracked crash crashed crashes crashing cumbersome damaged dead deceptive defective delay delayed delays dent ' +
    'dented die died dies dirty disappointed disappointing disappointment disconnect disconnected disconnecting disconnects downside drain drained ' +
    'draining drains drop drops error errors expensive fail failed failing fails failure fall falls faulty flaw flawed flimsy freeze freezes freezing ' +
    'froze frustrated frustrating frustration garbage glitch glitches glitchy hang hate hated heavy horrible ignored impossible ' +
    'inaccurate inconsistent issue issues junk lag lags laggy lagging late leak leaked leaking leaks lemon loose lose loses lost loud mediocre mess ' +
    'misleading missing mistake nightmare noisy outrageous overheat overheated overheating overheats overpriced pain painful pathetic peeled peeling ' +
    'poor poorly pricey problem problems refused regret returned returning ridiculous rude scratched scratchy shame shoddy slow slower ' +
    'slowly smell smells smelly sorry sticky stopped stuck struggle struggles tangled terrible trouble ugly unacceptable uncomfortable unhappy ' +
    'unhelpful unreliable unresponsive unstable useless waited waiting waste wasted weak wobbly worse worst wrong').split(' '),
);

const NEGATORS = new Set(['not', 'no', 'never', 'none', 'hardly', 'barely', 'without', 'cannot', 'nobody', 'nothing', 'neither', 'isnt', 'wasnt', 'dont', 'doesnt', 'didnt', 'wont', 'cant', 'stopped', 'stops', 'zero', 'lacks', 'lack']);

function isNegator(word: string): boolean {
  return NEGATORS.has(word) || word.endsWith("n't");
}

/** Below 0 complains, above 0 praises, 0 does neither. A negator turns the next three words around, weaker. */
export function sentiment(text: string): number {
  const list = words(text);
  let score = 0;
  let negatedUntil = -1;
  for (let i = 0; i < list.length; i += 1) {
    const word = list[i]!;
    let value = POSITIVE.has(word) ? 1 : NEGATIVE.has(word) ? -1 : 0;
    if (word === 'cheap') value = 0.5;
    if (value !== 0) score += i <= negatedUntil ? value * -0.8 : value;
    if (isNegator(word)) {
      negatedUntil = i + 3;
      // "won't turn on", "doesn't pair": a refusal by itself is a mild complaint.
      if (word.endsWith("n't") && /^(?:won't|doesn't|didn't|can't|couldn't|wouldn't|isn't|wasn't)$/.test(word)) score -= 0.3;
    }
  }
  return score;
}

export function isSentimentWord(word: string): boolean {
  return POSITIVE.has(word) || NEGATIVE.has(word);
}

const STARS = /[★⭐]/gu;

/** The rating an item states, 1 to 5 ("4/5", "8/10", "3 stars", "★★★☆☆"), or null. */
export function statedRating(item: string): number | null {
  const head = item.slice(0, 160);
  const fraction = /(?:^|[^\d.\/])(\d{1,2}(?:\.\d)?)\s*(?:\/|out of)\s*(5|10)(?![\d\/])/i.exec(head);
  if (fraction !== null) {
    const value = Number(fraction[1]) * (fraction[2] === '10' ? 0.5 : 1);
    if (value >= 0 && value <= 5) return value;
  }
  const named = /(?:^|[^\d.])([1-5])(?:\.\d)?[ -]?stars?\b/i.exec(head) ?? /\b(?:rating|stars?)\s*[:=]\s*([1-5])(?![\d])/i.exec(head);
  if (named !== null) return Number(named[1]);
  const stars = head.match(STARS)?.length ?? 0;
  return stars >= 1 && stars <= 5 ? stars : null;
}
