import fc from 'fast-check';

/** The same random inputs on every run, unless another seed is asked for: FC_SEED=7 npx vitest run. */
fc.configureGlobal({ seed: Number(process.env['FC_SEED'] ?? 20240312) });
