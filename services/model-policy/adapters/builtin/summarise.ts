/** The built-in model's report on a body of text: key points, themes with counts, and an action list. */
import { listActions, quotable } from './actions.ts';
import { salientByTheme, salientSentences } from './salience.ts';
import { sentiment, statedRating } from './sentiment.ts';
import { items, prose, sentences, words } from './text.ts';
import { findThemes, leaning } from './themes.ts';

/** How much each size of the built-in model says. */
export interface SummaryLimits {
  readonly keyPoints: number;
  readonly themes: number;
  readonly actions: number;
}

const REQUEST = /^(?:please\s+|can you\s+|could you\s+)?(?:summari[sz]e|give me|list|extract|analy[sz]e|condense|write|produce|find|tell me|what are|here are)\b[^\n]{0,300}?(?:[.:?!](?=\s|$)|\n|$)\s*/i;

/** True when the words ask for a summary, themes or an action list. */
export function asksForSummary(text: string): boolean {
  return /\bsummar(?:y|i[sz]e|i[sz]es|i[sz]ing|i[sz]ation|ies)\b|\breviews?\b|\bfeedback\b|\bthemes?\b|\baction (?:items?|list|points?)\b|\bkey points\b|\btl;?dr\b/i.test(text);
}

/** `text` without the sentence at its head that asks for the summary. */
export function withoutRequest(text: string): string {
  return text.trimStart().replace(REQUEST, '').trim();
}

/**
 * Markdown. Says plainly when there is too little text to condense.
 * @param figures a line of figures from a tool, put under the headline
 */
export function summarise(text: string, limits: SummaryLimits, figures: string | null): string {
  const material = withoutRequest(text);
  const raw = items(material);
  const pieces = raw.map(prose);
  const wordCount = words(material).length;
  const head = figures === null ? '' : `${figures}\n\n`;
  if (wordCount === 0) return `${head}There is no text to summarise: the message holds only the request. Send the text with it.`;
  if (wordCount < 25) return `${head}The text is already short, so it stands as its own summary: “${quotable(pieces.join(' '))}”`;
  // One piece of prose is a list of sentences; a list of reviews or notes is a list of those.
  const all = pieces.flatMap(sentences);
  const isList = pieces.length >= 3;
  const units = isList ? pieces : all;
  const leanings = isList ? raw.map((item, index) => leaningOf(item, pieces[index]!)) : all.map(() => 0);
  const themes = findThemes(units, leanings, limits.themes);
  const actions = listActions(units, themes, limits.actions);
  const keyPoints = Math.min(limits.keyPoints, Math.max(1, Math.ceil(all.length / 2)));
  const points = isList && themes.length >= 2 ? salientByTheme(pieces, themes, keyPoints) : salientSentences(pieces, keyPoints);
  const parts = [`${head}**${headline(raw, leanings, wordCount)}**`];
  parts.push(section('Key points', points.map((sentence) => `- ${quotable(sentence)}`)));
  parts.push(section('Themes', themes.map((theme) => `- ${theme.name} — ${count(theme.mentions.length, 'mention')}, ${leaning(theme)}`)));
  parts.push(section('Action list', actions.map((action, index) =>
    `${index + 1}. ${action.title} (${count(action.mentions, 'mention')})${action.quote === null ? '' : ` — “${action.quote}”`}`)));
  return parts.filter((part) => part !== '').join('\n\n');
}

/** From -1 to 1: the rating where the item states one, else what its words say. */
function leaningOf(item: string, text: string): number {
  const rating = statedRating(item);
  return rating === null ? Math.max(-1, Math.min(1, sentiment(text) / 2)) : (rating - 3) / 2;
}

function headline(raw: readonly string[], leanings: readonly number[], wordCount: number): string {
  if (raw.length < 3) return `Summary of ${count(wordCount, 'word')}`;
  const positive = leanings.filter((leaning) => leaning > 0.1).length;
  const negative = leanings.filter((leaning) => leaning < -0.1).length;
  const ratings = raw.map(statedRating).filter((rating) => rating !== null);
  const average = ratings.length >= raw.length / 2 ? `, average rating ${(ratings.reduce((sum, rating) => sum + rating, 0) / ratings.length).toFixed(1)} of 5` : '';
  return `Summary of ${raw.length} items, ${count(wordCount, 'word')}${average}: ${positive} positive, ${negative} negative, ${raw.length - positive - negative} neutral or mixed`;
}

function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : `${title}:\n${lines.join('\n')}`;
}

function count(value: number, noun: string): string {
  return `${value} ${noun}${value === 1 ? '' : 's'}`;
}
