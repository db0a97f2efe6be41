// Every page, where it is, and what is in sight once it can be used.
export const PAGES = [
  { name: "overview", at: "#/", all: [".figures >> text=/\\d/", ".plot canvas", ".says:has-text('in view')"] },
  { name: "devices", at: "#/devices", all: ["tbody tr >> nth=9"] },
  { name: "device", at: "#/devices/pump-1", all: [".plot canvas >> nth=1", ".facts dd >> nth=0", "td:has-text('correction')"] },
  { name: "live", at: "#/live", all: ["[role=status]:has-text('live')"] },
  { name: "explore", at: "#/explore?q=SELECT%20time%2C%20value%20FROM%20telemetry%20WHERE%20device_id%20%3D%20'pump-1'%20AND%20metric%20%3D%20'flow'%20ORDER%20BY%201", all: [".plot canvas", ".schema details[open] li"] },
  { name: "dead-letters", at: "#/dead-letters", all: ["tbody tr >> nth=0"] },
  { name: "ledger", at: "#/ledger", all: [".equation", "tbody tr >> nth=0"] },
  { name: "system", at: "#/system", all: ["text=Stages", "tbody tr >> nth=5"] },
];
