/**
 * A broken expectation inside the program: never the fault of the input. The command line turns it
 * into exit code 70 with a command that replays it.
 */
export class InternalError extends Error {
  override name = 'InternalError';
}

/** @throws InternalError when `condition` does not hold. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InternalError(message);
}

/** The value, when it is there. @throws InternalError when it is null or undefined. */
export function must<T>(value: T | null | undefined, message: string): T {
  if (value === null || value === undefined) throw new InternalError(message);
  return value;
}
