/** Start-up, seeds and raw operations; nobody else touches engine internals. */

export * as operations from "./operations";
export * from "./random";
export { type BackendKind, device, engineVersion, kind, nativeHandles, tf } from "./start";
