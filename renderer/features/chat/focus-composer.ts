/**
 * Leads to where the reader writes next: in a chat that was just opened, and when the button that had the focus goes. On
 * touch screens the keyboard stays away until asked for.
 */
export function focusComposer(): void {
  if (window.matchMedia('(pointer: fine)').matches) document.getElementById('composer')?.focus()
}
