/** The mark: a tern seen from above, wings swept, tail forked. Drawn in the current colour. */
export function Mark({ className }: { className?: string }) {
  return (
    <svg className={className} viewBox="0 0 32 32" aria-hidden="true" focusable="false" fill="currentColor">
      <path
        transform="rotate(-14 16 16)"
        d="M.6 11.6C6.9 7.2 12.4 8.6 16 14c3.6-5.4 9.1-6.8 15.4-2.4-5.9-.6-10.3 1.5-12.9 6.6l-1.2 3.2 2.5 7.6-3.8-4-3.8 4 2.5-7.6-1.2-3.2C10.9 13.1 6.5 11 .6 11.6Z"
      />
    </svg>
  )
}
