import type { FleetRow, FleetSummary } from '../doctor/fleet/fleet.ts';
import { fleetRowJson, fleetSummaryJson } from './doctor-fleet-json.ts';
import { fleetRowText, fleetSummaryText } from './doctor-fleet-text.ts';
import { Exposition } from './doctor-prometheus.ts';
import { SarifLog } from './doctor-sarif.ts';

/** What is printed of many hosts, piece by piece. */
export interface FleetReport {
  readonly head: () => string;
  readonly row: (row: FleetRow) => string;
  readonly tail: (summary: FleetSummary) => string;
}

/** Of one host there is more to say: see `doctorText`, `doctorMarkdown`. */
export const FLEET_FORMATS = ['text', 'json', 'sarif', 'prometheus'] as const;
export type FleetFormat = (typeof FLEET_FORMATS)[number];

/** @param version of memtype */
export function fleetReport(format: FleetFormat, version: string): FleetReport {
  switch (format) {
    case 'text':
      return { head: () => '', row: fleetRowText, tail: fleetSummaryText };
    case 'json':
      return { head: () => '', row: fleetRowJson, tail: fleetSummaryJson };
    case 'sarif': {
      const log = new SarifLog();
      return { head: () => log.head(version), row: (row) => log.row(row), tail: () => log.tail() };
    }
    case 'prometheus': {
      const exposition = new Exposition(version);
      const row = (r: FleetRow): string => {
        exposition.row(r);
        return '';
      };
      return { head: () => '', row, tail: () => exposition.text() };
    }
  }
}
