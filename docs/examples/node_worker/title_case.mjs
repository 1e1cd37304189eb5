// The policy of this example: each word begins with a capital letter, wherever the provider cut the text.
//
// It is a pure function of the frames it is shown, and its state lives in the call: a worker that takes a call over runs
// it again from the beginning, and it must come to the same bytes. No clock, no chance, no IO.

export const NAME = "title_case";
export const VERSION = "1";
const LETTER = /[\p{L}\p{N}'’]/u;
const FIRST = /[\p{L}\p{N}'’]+/gu;

/** The policy for one call. Only `openai_chat` is changed; what is no JSON or has no text passes as it came. */
export class TitleCase {
  #format;
  #inWord = new Map();

  constructor(format) {
    this.#format = format;
  }

  /** One frame (or a whole body) of the answer; the same Buffer if nothing changes. */
  frame(raw, kind) {
    if (this.#format !== "openai_chat") return raw;
    const match = kind === "body" ? [null, "", raw.toString(), ""] : /^(data: )(\{.*\})(\s*)$/s.exec(raw.toString());
    if (!match) return raw;
    const body = parsed(match[2]);
    if (!body || !this.#edit(body)) return raw;
    return Buffer.from(match[1] + JSON.stringify(body) + match[3]);
  }

  #edit(body) {
    let changed = false;
    for (const choice of Array.isArray(body.choices) ? body.choices : []) {
      const said = choice.delta ?? choice.message;
      if (typeof said?.content !== "string") continue;
      const text = this.#text(said.content, choice.index ?? 0);
      changed ||= text !== said.content;
      said.content = text;
    }
    return changed;
  }

  #text(text, choice) {
    const goesOn = this.#inWord.get(choice) ?? false;
    if (text) this.#inWord.set(choice, LETTER.test([...text].at(-1)));
    return text.replace(FIRST, (word, at) => (at === 0 && goesOn ? word : capital(word)));
  }
}

function capital(word) {
  const [first] = word;
  return first.toUpperCase() + word.slice(first.length);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
