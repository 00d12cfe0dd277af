/**
 * memtype as a library: which x86 memory type a guest's access under KVM gets, why, and is that
 * coherent. Pure TypeScript; nothing here reads a machine.
 */

export type { Diagnostic, Parsed, Place } from './base/diagnostic.ts';

import './rules.ts';

export { InputError, renderDiagnostic } from './base/diagnostic.ts';
export { citation } from './cite/source.ts';
export { SOURCES } from './cite/sources.ts';
export type { FactKey, Facts, FactValues } from './facts/facts.ts';
export { PROPOSALS, rulesOfPolicy } from './kvm/policies.ts';
export type { KvmRules } from './kvm/rules.ts';
export { rulesFor, SPANS, spanOf } from './kvm/timeline.ts';
export { BACKINGS } from './linux/backing.ts';
export { parseKernelVersion } from './linux/version.ts';
export { type Comparison, compareWithLog } from './litmus/compare.ts';
export { compileLitmus } from './litmus/compile.ts';
export type { CompiledTest, Outcome } from './litmus/compiled.ts';
export { printForHerd } from './litmus/herd.ts';
export { type LoggedTest, readLog } from './litmus/log.ts';
export { parseLitmus } from './litmus/parse.ts';
export { printLitmus } from './litmus/print.ts';
export { promelaOf } from './litmus/promela.ts';
export { printOutcome, printResult, type Result, resultOf } from './litmus/result.ts';
export type { LitmusTest } from './litmus/test.ts';
export type { MachineConfig } from './machine/config.ts';
export { type Machine, makeMachine } from './machine/machine.ts';
export { SWITCHES } from './machine/switches.ts';
export { explainJson } from './report/explain-json.ts';
export { explainSvg } from './report/explain-svg.ts';
export { compareText, explainText } from './report/explain-text.ts';
export { findRulePage, rulePages } from './report/rule-page.ts';
export { runJson } from './report/run/json.ts';
export { runText } from './report/run/text.ts';
export { caseSchema, explainSchema } from './report/schema.ts';
export { composeQuestions, type Entry } from './resolve/compose.ts';
export type { FactsNode } from './resolve/facts-tree.ts';
export { flips } from './resolve/flips.ts';
export { type Question, question } from './resolve/question.ts';
export { exitCodeOf, type Resolution, resolve } from './resolve/resolution.ts';
export type { Verdict } from './resolve/verdict.ts';
export { VERDICTS } from './resolve/verdicts/index.ts';
export { readScenario } from './scenario/read.ts';
export { type Run, run } from './scenario/run.ts';
export type { Scenario } from './scenario/scenario.ts';
export { combineMtrrPat } from './x86/combine.ts';
export { eptEffective } from './x86/ept.ts';
export { compileMtrrs, mtrrLookup } from './x86/mtrr.ts';
export { nptEffective } from './x86/npt.ts';
