// Documents as they are pasted.

export const EXAMPLE = {
  query: "can I return shoes that I have worn",
  documents: [
    "We ship shoes to all countries of the European Union.",
    "Our shops are open from nine to six.",
    "Worn out soles are replaced by our cobbler for a small fee.",
    "Refunds are paid within five working days.",
    "Shoes can be returned within 30 days if they have not been worn outside.",
    "A return label is in every parcel.",
  ],
};

/** With a blank line between documents where there is one, else one a line. */
export function split(pasted) {
  const separator = /\n[^\S\n]*\n/.test(pasted.trim()) ? /\n\s*\n/ : /\n/;
  return pasted.split(separator).map((text) => text.trim()).filter(Boolean);
}
