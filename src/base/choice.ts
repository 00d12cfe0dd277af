import { assert } from './assert.ts';

/**
 * The one way in which anything here is undetermined: `pick(n)` answers 0..n-1. A run is then a list
 * of answers, and the driver decides where they come from.
 */
export interface Choice {
  /** @param n how many alternatives there are, at least 1 */
  readonly pick: (n: number) => number;
}

/**
 * Every run of `body`, in lexicographic order of the answers given: an odometer that learns its wheels
 * while it turns. `body` must ask the same questions whenever it got the same answers.
 */
export function everyChoice(body: (choice: Choice) => void): void {
  const answers: number[] = [];
  const sizes: number[] = [];
  do {
    let at = 0;
    body({
      pick(n) {
        assert(n >= 1, 'pick: nothing to choose from');
        if (at === answers.length) {
          answers.push(0);
          sizes.push(n);
        }
        assert(sizes[at] === n, 'pick: a run did not repeat its own questions');
        return answers[at++] ?? 0;
      },
    });
    assert(at === answers.length, 'pick: a run asked fewer questions than its prefix');
    while (answers.length > 0 && (answers.at(-1) ?? 0) + 1 === sizes.at(-1)) {
      answers.pop();
      sizes.pop();
    }
    const last = answers.pop();
    if (last === undefined) return;
    answers.push(last + 1);
  } while (answers.length > 0);
}
