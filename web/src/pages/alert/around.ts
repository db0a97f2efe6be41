/** A quarter of an hour before and after: what led there, and what came of it. */
const AROUND_MS = 15 * 60_000;
/** Of what lasted longer, this much from its beginning. */
const LONGEST_MS = 86_400_000;

/** The parameters of a device's page that show it at that time. */
export function around(began: string, ended: string | null): { from: number; to: number } {
  const from = Date.parse(began);
  const to = ended ? Math.min(Date.parse(ended), from + LONGEST_MS) : from;
  return { from: from - AROUND_MS, to: Math.max(from, to) + AROUND_MS };
}
