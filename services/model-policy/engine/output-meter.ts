/** Tokens of an answer as far as it has come, for a stream that ends before its usage: the approximation of `metering/tokens.ts`, piece by piece. */
import type { ProviderChunk } from '../ports/provider.ts';

export class OutputMeter {
  #characters = 0;
  #quarters = 0;

  add(chunk: ProviderChunk): void {
    if (chunk.type === 'content') this.#addText(chunk.text);
    else if (chunk.type === 'tool_call') {
      if (chunk.name !== undefined) this.#addText(chunk.name);
      this.#addText(chunk.argumentsDelta);
    }
  }

  get characters(): number {
    return this.#characters;
  }

  get tokens(): number {
    return Math.ceil(this.#quarters / 4);
  }

  #addText(text: string): void {
    this.#characters += text.length;
    for (let i = 0; i < text.length; i += 1) this.#quarters += text.charCodeAt(i) > 127 ? 4 : 1;
  }
}
