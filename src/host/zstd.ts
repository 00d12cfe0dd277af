type Fzstd = typeof import('fzstd');

/** fzstd calls itself for each frame: of tiny ones so many are given to it at once. */
const PIECE = 1 << 14;

/**
 * What zstd makes of bytes (RFC 8878): any number of frames, windows up to 2 GiB, no dictionaries; sums are not
 * checked. Node's own (22.15 and later) is not used: it drops what follows the first frame
 * (github.com/nodejs/node/issues/64741), and takes one that is cut for whole (issues/64592).
 */
export interface Zstd {
  /** A stream that comes in pieces, cut anywhere. */
  readonly stream: () => ZstdStream;
  /** Whole frames at once. Throws on damage, or when more than `size` bytes would come out. */
  readonly whole: (bytes: Uint8Array, size: number) => Uint8Array;
}

export interface ZstdStream {
  /** What comes of a piece, as far as blocks are complete. Throws on damage. */
  readonly push: (piece: Uint8Array) => readonly Uint8Array[];
  /** What a last, short frame holds. Throws when it is not complete. */
  readonly end: () => readonly Uint8Array[];
}

/** The stream is damaged, ends early, or asks for more memory than there is. */
export class ZstdError extends Error {
  override name = 'ZstdError';
}

function streamOf({ Decompress }: Fzstd): ZstdStream {
  let out: Uint8Array[] = [];
  /** Thrown by the next call, when what is whole was handed out. */
  let failure: ZstdError | null = null;
  const decompress = new Decompress((data) => {
    if (data.length > 0) out.push(data);
  });
  const push = (piece: Uint8Array, isLast: boolean): void => {
    if (failure !== null) throw failure;
    try {
      decompress.push(piece, isLast);
    } catch (error) {
      // What is damaged makes it throw anything: a RangeError, too.
      failure = new ZstdError(error instanceof Error ? error.message : String(error));
      if (out.length === 0) throw failure;
    }
  };
  return {
    push(piece) {
      out = [];
      for (let at = 0; at < piece.length; at += PIECE) {
        push(piece.subarray(at, at + PIECE), false);
        if (failure !== null) break;
      }
      return out;
    },
    end() {
      out = [];
      push(new Uint8Array(0), true);
      if (failure !== null) throw failure;
      return out;
    },
  };
}

function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const all = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** zstd by fzstd, in plain JavaScript, which is loaded when it is needed. */
export async function loadZstd(): Promise<Zstd> {
  const fzstd = await import('fzstd');
  return {
    stream: () => streamOf(fzstd),
    whole(bytes, size) {
      const pieces: Uint8Array[] = [];
      let length = 0;
      const keep = (piece: Uint8Array): void => {
        length += piece.length;
        if (length > size) throw new ZstdError(`more than ${size} bytes come out`);
        pieces.push(piece);
      };
      const stream = streamOf(fzstd);
      for (let at = 0; at < bytes.length; at += PIECE)
        stream.push(bytes.subarray(at, at + PIECE)).forEach(keep);
      stream.end().forEach(keep);
      return joined(pieces, length);
    },
  };
}
