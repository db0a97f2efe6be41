// What whoever sits here is called: it stands in the history of alerts. Kept in this browser.
import { Store } from "./store";

const NAME = "penstock.who";

function kept(): string {
  try {
    return localStorage.getItem(NAME) ?? "";
  } catch {
    return ""; // storage may be forbidden
  }
}

export const who = new Store<string>(kept());

export function setWho(next: string): void {
  try {
    if (next) localStorage.setItem(NAME, next);
    else localStorage.removeItem(NAME);
  } catch {
    // It holds until the page is left.
  }
  who.set(next);
}

/** What is said where nobody gave a name. */
export function signed(): string {
  return who.get().trim() || "web";
}
