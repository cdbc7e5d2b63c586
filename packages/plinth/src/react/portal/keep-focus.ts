/**
 * Keeps the keyboard where it was. What has the focus may vanish or be switched off by what it did: the button of a row that is done, "Show more" on the last
 * page. Browsers then begin again at the top of the document. Here the focus goes to the nearest thing before it, in the closest part of the page that is
 * still there; never to a button, which a second Enter would press.
 */
const RESTS = 'a[href], input:not(:disabled), select:not(:disabled), textarea:not(:disabled), summary, [tabindex]';

/** The element itself, then what it stands in, up to `root`. */
function pathOf(element: Element, root: Element): Element[] {
  const path: Element[] = [];
  for (let at: Element | null = element; at && root.contains(at); at = at.parentElement) path.push(at);
  return path;
}

const isBefore = (one: Element, other: Element): boolean => (one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING) !== 0;

function restIn(part: Element, lost: Element): HTMLElement | undefined {
  const rests = [...part.querySelectorAll<HTMLElement>(RESTS)].filter((rest) => rest !== lost && rest.checkVisibility());
  return (lost.isConnected ? rests.findLast((rest) => isBefore(rest, lost)) : undefined) ?? rests[0];
}

/** Watches what is in `root` until the answer is called. */
export function keepFocus(root: HTMLElement): () => void {
  let path: Element[] = [];
  const isLost = (element: Element): boolean => !element.isConnected || element.matches(':disabled');
  const look = (): void => {
    const [last] = path;
    const { activeElement: now } = document;
    if (!last || (now !== document.body && now !== last)) return;
    if (!isLost(last)) {
      // Left by a click on nothing: what becomes of it later is of no concern.
      if (now === document.body) path = [];
      return;
    }
    const part = path.find((each) => each.isConnected && each !== last && restIn(each, last));
    if (part) restIn(part, last)?.focus({ preventScroll: true });
  };
  const note = (event: FocusEvent): void => {
    if (event.target instanceof Element) path = pathOf(event.target, root);
  };
  // After whoever made the change had its own idea of where the focus belongs.
  const lookSoon = (): void => void requestAnimationFrame(look);
  const observer = new MutationObserver(lookSoon);
  observer.observe(root, { childList: true, subtree: true, attributes: true, attributeFilter: ['disabled'] });
  root.addEventListener('focusin', note);
  root.addEventListener('focusout', lookSoon);
  return () => {
    observer.disconnect();
    root.removeEventListener('focusin', note);
    root.removeEventListener('focusout', lookSoon);
  };
}
