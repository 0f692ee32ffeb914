type Mime = Readonly<Record<string, unknown>>;

interface Message {
  readonly data: Mime;
  readonly metadata: Mime;
  /** not stored in the notebook; `display_id` names an output that can be replaced */
  readonly transient: Mime;
}

type Writer = (message: Message, update?: boolean) => void;

/**
 * Sends ONE output in several representations; a front end shows the richest that it knows. Outside a kernel the plain text
 * is printed.
 * @param data      by MIME type, with "text/plain"
 * @param metadata  by MIME type, for instance the size of a picture
 */
export function show(data: Mime & { readonly "text/plain": string }, metadata: Mime = {}): void {
  const write = kernelWriter();
  if (write) write({ data, metadata, transient: {} });
  else process.stdout.write(`${data["text/plain"]}\n`);
}

/** Shows text as Markdown (formulas between dollar signs). */
export function markdown(text: string): void {
  if (typeof text !== "string") throw new TypeError(`markdown: text must be a string, got ${typeof text}`);
  show({ "text/markdown": text, "text/plain": text });
}

/**
 * The function with which tslab sends a display message, or undefined outside a kernel. Its public API sends one MIME type
 * only, so this takes the variable that tslab exports for itself; tslab's version is pinned and a test guards the name.
 */
export function kernelWriter(): Writer | undefined {
  const file = Object.keys(require.cache).find((key) => /[\\/]tslab[\\/]dist[\\/]jupyter\.js$/.test(key));
  const module = file ? (require.cache[file]?.exports as { lastWriteDisplayData?: Writer | null }) : undefined;
  return module?.lastWriteDisplayData ?? undefined;
}
