/**
 * A problem of check.mjs in Promela: one process, and a step that nothing interrupts for each instruction and each drain,
 * which is the fastest form for SPIN. Threads store once at most, and load no line that they store to.
 */
export function promela({ lines, programs }) {
  const width = Math.max(...programs.flat().map((step) => (step.register ?? 0) + 1));
  const steps = programs.flatMap((program, p) => {
    const stores = program.filter((step) => step.store !== undefined);
    if (stores.length > 1 || program.some((step) => step.load === stores[0]?.store))
      throw new Error('this form has one buffered store a thread, and no forwarding');
    return program.flatMap((step, k) => {
      const at = `pc[${p}] == ${k}`;
      const on = `pc[${p}] = ${k + 1}`;
      if (step.store === undefined)
        return [`d_step { ${at} -> r[${p * width + step.register}] = m[${step.load}]; ${on} }`];
      return [
        `d_step { ${at} -> b[${p}] = ${step.value}; ${on} }`,
        `d_step { b[${p}] != 0 -> m[${step.store}] = b[${p}]; b[${p}] = 0 }`,
      ];
    });
  });
  const threads = programs.length;
  return [
    `byte m[${lines}]; byte pc[${threads}]; byte b[${threads}]; byte r[${threads * width}];`,
    'active proctype machine() {',
    'end: do',
    ...steps.map((step) => `  :: ${step}`),
    '  od',
    '}',
    '',
  ].join('\n');
}
