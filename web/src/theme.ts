// Light, dark, or as the system says. The choice is kept in this browser.
import { Store } from "./store";

export type Choice = "system" | "light" | "dark";

const NAME = "penstock.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function kept(): Choice {
  try {
    const value = localStorage.getItem(NAME);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system"; // storage may be forbidden
  }
}

export const choice = new Store<Choice>(kept());

/** What is shown now; charts draw anew when it changes. */
export const shown = new Store<"light" | "dark">("light");

function apply(): void {
  const now = choice.get();
  shown.set(now === "system" ? (system.matches ? "dark" : "light") : now);
  document.documentElement.dataset["theme"] = shown.get();
}

export function choose(next: Choice): void {
  try {
    if (next === "system") localStorage.removeItem(NAME);
    else localStorage.setItem(NAME, next);
  } catch {
    // It holds until the page is left.
  }
  choice.set(next);
  apply();
}

system.addEventListener("change", apply);
apply();

/** A colour of the style sheet, for what is drawn on a canvas. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
