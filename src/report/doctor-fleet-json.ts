import type { FleetRow, FleetSummary } from '../doctor/fleet/fleet.ts';
import { findingJson } from './doctor-json.ts';

/** Version of the lines that `doctor` prints of many hosts. */
export const FLEET_SCHEMA_VERSION = 1;

/** A line of JSON Lines: one host. */
export function fleetRowJson(row: FleetRow): string {
  const head = { schemaVersion: FLEET_SCHEMA_VERSION, kind: 'host' };
  const object =
    row.verdict === 'error'
      ? { ...head, ...row }
      : { ...head, ...row, findings: row.findings.map(findingJson) };
  return `${JSON.stringify(object)}\n`;
}

/** The last line: what the hosts come to. */
export function fleetSummaryJson(summary: FleetSummary): string {
  const head = { schemaVersion: FLEET_SCHEMA_VERSION, kind: 'summary' };
  return `${JSON.stringify({ ...head, ...summary })}\n`;
}
