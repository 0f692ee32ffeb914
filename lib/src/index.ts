export * from "./types";
export * as checkpoints from "./checkpoints";
export * as masks from "./masks";
export * as rows from "./rows";
