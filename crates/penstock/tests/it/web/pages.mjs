// Every page, where it is, and what is in sight once it can be used.
export const PAGES = [
  { name: "overview", at: "#/", all: [".figures >> text=/\\d/", ".plot canvas", ".says:has-text('in view')"] },
  { name: "devices", at: "#/devices", all: ["tbody tr >> nth=9"] },
  { name: "device", at: "#/devices/pump-1", all: [".plot canvas >> nth=1", ".facts dd >> nth=0", "td:has-text('correction')"] },
  { name: "live", at: "#/live", all: ["[role=status]:has-text('live')"] },
  { name: "alerts", at: "#/alerts", all: ["[aria-label='Open, alerts'] tbody tr"] },
  { name: "rules", at: "#/rules", all: ["tbody tr >> nth=0"] },
  { name: "rule", at: "#/rules/pump-too-warm", all: ["textarea >> nth=0", "text=What would it have done?"] },
  { name: "people", at: "#/people", all: ["[aria-label='People'] tbody tr"] },
  { name: "person", at: "#/people/ann", all: ["fieldset"] },
  { name: "explore", at: "#/explore?q=SELECT%20time%2C%20value%20FROM%20telemetry%20WHERE%20device_id%20%3D%20'pump-1'%20AND%20metric%20%3D%20'flow'%20ORDER%20BY%201", all: [".plot canvas", ".schema details[open] li"] },
  { name: "dead-letters", at: "#/dead-letters", all: ["tbody tr >> nth=0"] },
  { name: "ledger", at: "#/ledger", all: [".equation", "tbody tr >> nth=0"] },
  { name: "system", at: "#/system", all: ["text=Stages", "tbody tr >> nth=5"] },
];
