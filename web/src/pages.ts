// What there is to see, in the order of the navigation. A page is loaded when somebody goes there.
import type { ComponentType } from "preact";

export interface PageProps {
  /** What stands behind the page's name in the address: `["pump-7"]`. */
  rest: string[];
  params: URLSearchParams;
}

export interface Page {
  /** First part of the address; empty for the overview. */
  name: string;
  title: string;
  group: "Fleet" | "Alerts" | "Data" | "Operations";
  load: () => Promise<{ default: ComponentType<PageProps> }>;
  /** The page of one thing of the list: a device, an alert, a dead letter. */
  one?: () => Promise<{ default: ComponentType<PageProps> }>;
}

export const pages: Page[] = [
  { name: "", title: "Overview", group: "Fleet", load: () => import("./pages/overview") },
  {
    name: "devices",
    title: "Devices",
    group: "Fleet",
    load: () => import("./pages/devices"),
    one: () => import("./pages/device"),
  },
  { name: "live", title: "Live tail", group: "Fleet", load: () => import("./pages/live") },
  {
    name: "alerts",
    title: "Alerts",
    group: "Alerts",
    load: () => import("./pages/alerts"),
    one: () => import("./pages/alert"),
  },
  {
    name: "rules",
    title: "Rules",
    group: "Alerts",
    load: () => import("./pages/rules"),
    one: () => import("./pages/rule"),
  },
  {
    name: "people",
    title: "People and mutes",
    group: "Alerts",
    load: () => import("./pages/people"),
    one: () => import("./pages/person"),
  },
  { name: "explore", title: "Explore", group: "Data", load: () => import("./pages/explore") },
  {
    name: "dead-letters",
    title: "Dead letters",
    group: "Data",
    load: () => import("./pages/dead-letters"),
    one: () => import("./pages/dead-letter"),
  },
  { name: "ledger", title: "Ledger", group: "Data", load: () => import("./pages/ledger") },
  { name: "system", title: "System", group: "Operations", load: () => import("./pages/system") },
];
