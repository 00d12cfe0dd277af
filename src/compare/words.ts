import { factWord } from '../facts/facts.ts';
import type { EptChoice } from '../kvm/decision.ts';
import type { ShadowChoice } from '../kvm/shadow.ts';
import type { Condition, Cover, DecidedBy, Literal } from './difference.ts';
import type { Access, Line } from './space/access.ts';
import type { CubeCover } from './space/cover.ts';
import { type Cube, DIMENSIONS, type Dimension, valuesOf } from './space/cube.ts';

/** The values of a mask, as they are written on the command line. */
function wordsOf(input: Dimension, mask: number): readonly string[] {
  return valuesOf(input)
    .filter((_, v) => (mask & (1 << v)) !== 0)
    .map(factWord);
}

/**
 * A cube as a condition: a literal for each input that it does not leave free.
 *
 * @param allowed the values that were looked at: there are no others
 */
export function conditionOf(cube: Cube, allowed: Cube): Condition {
  return DIMENSIONS.flatMap((input, i): readonly Literal[] => {
    const full = allowed[i] as number;
    const mask = (cube[i] as number) & full;
    if (mask === full) return [];
    return [{ input, values: wordsOf(input, mask), others: wordsOf(input, full & ~mask) }];
  });
}

export function coverWords({ cubes, minimal }: CubeCover, allowed: Cube): Cover {
  return { conditions: cubes.map((cube) => conditionOf(cube, allowed)), minimal };
}

function eptWords({ memtype, ipat }: EptChoice): string {
  return `EPT ${memtype}${ipat ? '+IPAT' : ', IPAT=0'}`;
}

function shadowWords({ host, guest }: ShadowChoice): string {
  return `shadow PTE ${host}${guest ? ' x guest PAT' : ''}`;
}

function choiceWords(line: Line): string {
  const { returns } = line.decision as { readonly returns: unknown };
  if (line.rule.startsWith('vmx_get_mt_mask')) return eptWords(returns as EptChoice);
  if (line.rule.startsWith('shadow_leaf')) return shadowWords(returns as ShadowChoice);
  if (line.rule.startsWith('svm_g_pat')) return `g_pat ${String(returns)}`;
  if (line.rule.startsWith('kvm_is_mmio_pfn')) return returns === true ? 'host MMIO' : 'not MMIO';
  return `nested PTE ${String(returns)}`;
}

export function lineWords(line: Line): DecidedBy {
  return {
    rule: line.rule,
    leaf: choiceWords(line),
    why: line.decision.why,
    source: line.decision.source ?? line.list.sources[0],
  };
}

/** The lines of an access as one. */
export function decidedBy({ lines }: Access): DecidedBy {
  const [first, ...rest] = lines;
  const words = lineWords(first);
  return {
    ...words,
    rule: [words.rule, ...rest.map((l) => l.rule)].join(', '),
    leaf: [words.leaf, ...rest.map(choiceWords)].join(', '),
  };
}
