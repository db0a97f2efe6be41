// Payloads as bytes, as text and in hexadecimal.

export function bytesOf(letter: { payload: string; payload_encoding: string }): Uint8Array {
  if (letter.payload_encoding === "utf-8") return new TextEncoder().encode(letter.payload);
  return Uint8Array.from(atob(letter.payload), (c) => c.charCodeAt(0));
}

export function asText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Longest part of a payload that is shown in hexadecimal: the page must stay quick. */
const DUMPED = 16_384;

/** Offset, sixteen bytes, and what of them can be read. */
export function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < Math.min(bytes.length, DUMPED); at += 16) {
    const part = [...bytes.subarray(at, at + 16)];
    const hex = part.map(hexByte).join(" ").padEnd(47);
    const text = part.map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex}  ${text}`);
  }
  if (bytes.length > DUMPED) lines.push(`… and ${bytes.length - DUMPED} bytes more`);
  return lines.join("\n");
}

export function plainHex(bytes: Uint8Array): string {
  return [...bytes].map((byte, n) => hexByte(byte) + ((n + 1) % 16 === 0 ? "\n" : " ")).join("").trim();
}

/** `null`: it is none. */
export function fromHex(text: string): Uint8Array | null {
  const digits = text.replace(/\s+/g, "");
  if (digits.length % 2 || /[^0-9a-fA-F]/.test(digits)) return null;
  return Uint8Array.from(digits.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

function hexByte(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
