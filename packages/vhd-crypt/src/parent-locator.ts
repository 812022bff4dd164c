// VHD specification, "Parent Locator Entry" and the names of the dynamic header.

export interface ParentLocator {
  /** "W2ru" relative, "W2ku" absolute, "MacX" a file URL; others are kept and not used. */
  readonly code: string;
  readonly at: number;
  readonly bytes: number;
}

export function encodeUtf16(text: string, bigEndian: boolean): Uint8Array {
  const bytes = new Uint8Array(text.length * 2);
  const [high, low] = bigEndian ? [0, 1] : [1, 0];
  for (let i = 0; i < text.length; i++) {
    bytes[2 * i + high] = text.charCodeAt(i) >>> 8;
    bytes[2 * i + low] = text.charCodeAt(i);
  }
  return bytes;
}

/** Up to the first NUL, if there is one. */
export function decodeUtf16(bytes: Uint8Array, bigEndian: boolean): string {
  const [high, low] = bigEndian ? [0, 1] : [1, 0];
  let text = '';
  for (let i = 0; i + 1 < bytes.length; i += 2) {
    const unit = ((bytes[i + high] ?? 0) << 8) | (bytes[i + low] ?? 0);
    if (unit === 0) break;
    text += String.fromCharCode(unit);
  }
  return text;
}

/** The path that a locator's bytes mean, with forward slashes; null when it is of no use. */
export function locatorPath(code: string, data: Uint8Array): string | null {
  if (code === 'W2ru' || code === 'W2ku') {
    const path = decodeUtf16(data, false).replaceAll('\\', '/').replace(/^(\.\/)+/, '');
    return path === '' ? null : path;
  }
  if (code !== 'MacX') return null;
  const url = String.fromCharCode(...data).replace(/\0.*$/s, '');
  try {
    return url.startsWith('file://') ? decodeURIComponent(url.slice(7).replace(/^localhost/, '')) : null;
  } catch {
    return null; // not UTF-8
  }
}
