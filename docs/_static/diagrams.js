// Draws the diagrams of a page. Their colours are the theme's own, so that light and dark need no second picture.
mermaid.initialize({
  startOnLoad: true,
  securityLevel: "strict",
  theme: "base",
  flowchart: { htmlLabels: false, useMaxWidth: false },
  state: { useMaxWidth: false },
  themeCSS: `
    .node rect, .node circle, .node polygon, .node path, .node .label-container {
      fill: var(--color-background-secondary); stroke: var(--color-foreground-muted);
    }
    .node .state-start, .node .fork-join, .node .root-start { fill: var(--color-foreground-muted); }
    .cluster rect { fill: none; stroke: var(--color-foreground-border); }
    text, tspan, .node text, .node tspan, .cluster text, .cluster tspan, .edgeLabel text, .edgeLabel tspan, .label text {
      fill: var(--color-foreground-primary) !important;
    }
    .edgeLabel rect, .edgeLabel .background { fill: var(--color-background-primary); opacity: 1; }
    .flowchart-link, .transition { stroke: var(--color-foreground-secondary); stroke-width: 1.5px; }
    .marker, .marker path { fill: var(--color-foreground-secondary); stroke: var(--color-foreground-secondary); }
  `,
});
