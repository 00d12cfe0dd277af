import type { Moment, TracedStep } from '../../explore/trace.ts';
import { agentsOf, type Told } from './told.ts';
import { changedLines } from './trace-text.ts';

const MEMORY = 'memory';

/** Text in a diagram: `;` would end it, `#` begin an entity. */
function escaped(text: string): string {
  return text.replace(/[#;<>]/g, (c) => `#${c.charCodeAt(0)};`);
}

function registersOf({ view }: Moment, agent: string): string {
  return JSON.stringify((view.cores[agent] ?? view.devices[agent])?.registers ?? {});
}

/** To memory where memory changes, from it where a register does, else within the agent. */
function arrow(before: Moment, { step, ...after }: TracedStep): string {
  const { agent } = step;
  if (JSON.stringify(before.view.memory) !== JSON.stringify(after.view.memory))
    return `${agent}->>${MEMORY}`;
  return registersOf(before, agent) === registersOf(after, agent)
    ? `${agent}->>${agent}`
    : `${MEMORY}-->>${agent}`;
}

/** An execution as a sequence diagram of Mermaid, which forges and editors draw. */
export function traceMermaid(told: Told): string {
  const { trace, title } = told;
  const agents = agentsOf(told);
  const all = [...agents, MEMORY];
  const span = `${all[0]},${MEMORY}`;
  const steps = trace.steps.flatMap((step, i) => {
    const before = i === 0 ? trace.initial : (trace.steps[i - 1] ?? trace.initial);
    return [
      `${arrow(before, step)}: ${i + 1} ${escaped(step.step.text)}`,
      ...changedLines(before, step).map((text) => `Note over ${span}: ${escaped(text)}`),
    ];
  });
  return [
    '---',
    `title: ${JSON.stringify(title)}`,
    '---',
    'sequenceDiagram',
    ...all.map((name) => `  participant ${name}`),
    ...steps.map((line) => `  ${line}`),
    '',
  ].join('\n');
}
