#ifndef COMMON_TRAINING_REPORT_STYLE_H_
#define COMMON_TRAINING_REPORT_STYLE_H_

#include "absl/strings/string_view.h"

namespace altprop::training {

// The CSS of report.html. Text inside a drawing is in the drawing's units,
// which a phone scales down to two thirds: hence its own size below 640 pixels.
inline constexpr absl::string_view kReportStyle = R"css(
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --line: #e1e5ea; --grid: #edf0f3;
  --ink: #16202c; --soft: #5a6675; --accent: #2459d6;
  --good: #12805c; --warn: #a85a00; --paper: #6b7788;
  --c0: #2f66e0; --c1: #d4541b; --c2: #12855f; --c3: #8e3fd1; --c4: #a37708;
  --c5: #0d7f96;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #10141a; --card: #181e26; --line: #2b3440; --grid: #242c36;
    --ink: #e8edf3; --soft: #9aa7b6; --accent: #8fb0ff;
    --good: #58d0a3; --warn: #f0b25e; --paper: #93a0b0;
    --c0: #7ea6ff; --c1: #ff9a62; --c2: #55cfa0; --c3: #c79bff; --c4: #e2c05a;
    --c5: #5accdf;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue",
    Arial, sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 32px 24px 56px; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.05rem; margin: 40px 0 12px; }
.subtitle { margin: 6px 0 0; color: var(--soft); }
.state {
  display: inline-block; margin: 14px 0 0; padding: 2px 12px;
  border: 1px solid currentColor; border-radius: 99px; font-size: .875rem;
  font-weight: 600;
}
.state::before {
  content: ""; display: inline-block; width: .55em; height: .55em;
  margin-right: .5em; border-radius: 50%; background: currentColor;
}
.running { color: var(--accent); }
.finished { color: var(--good); }
.stopped { color: var(--warn); }
.cards {
  display: grid; gap: 16px; margin: 24px 0 0; padding: 0; list-style: none;
  grid-template-columns: repeat(auto-fit, minmax(200px, 1fr));
}
.cards li, figure, .box {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px;
}
.cards li { padding: 14px 18px 16px; }
.cards span { display: block; color: var(--soft); font-size: .875rem; }
.cards span:last-child { font-size: .8125rem; }
.cards strong {
  display: block; font-size: 1.75rem; line-height: 1.3; letter-spacing: -.01em;
  font-variant-numeric: tabular-nums;
}
.charts {
  display: grid; gap: 16px; margin-top: 16px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr));
}
figure { margin: 0; padding: 16px 16px 10px; min-width: 0; }
figcaption { font-weight: 650; }
.legend {
  display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 2px 0 8px;
  color: var(--soft); font-size: .875rem;
}
.key b { color: var(--ink); font-weight: 600; font-variant-numeric: tabular-nums; }
.key i {
  display: inline-block; width: 18px; margin-right: 7px; vertical-align: .25em;
  border-top: 3px solid var(--color); border-radius: 2px;
}
.key.paper i, .key.dashed i { border-top-style: dashed; border-radius: 0; }
.key.dotted i { border-top-style: dotted; border-radius: 0; }
.ink { --color: var(--soft); }
.c0 { --color: var(--c0); } .c1 { --color: var(--c1); }
.c2 { --color: var(--c2); } .c3 { --color: var(--c3); }
.c4 { --color: var(--c4); } .c5 { --color: var(--c5); }
.paper { --color: var(--paper); }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-size: 12px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.grid { stroke: var(--grid); }
.axis { stroke: var(--line); }
.curve {
  fill: none; stroke: var(--color); stroke-width: 2; stroke-linejoin: round;
  stroke-linecap: round;
}
.curve.dotted { stroke-dasharray: .1 4.5; stroke-width: 2.4; }
.curve.dashed { stroke-dasharray: 7 5; stroke-width: 1.6; }
.dot { fill: var(--color); }
.hit { fill: transparent; }
.hit:hover { fill: var(--color); fill-opacity: .35; }
.bar { fill: var(--color); fill-opacity: .8; }
.bar:hover { fill-opacity: 1; }
.reference line { stroke: var(--paper); stroke-width: 1.6; stroke-dasharray: 6 5; }
.box { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
th, td {
  padding: 6px 18px; text-align: left; vertical-align: top;
  border-top: 1px solid var(--line);
}
tr:first-child > * { border-top: 0; }
thead th { color: var(--soft); font-weight: 600; white-space: nowrap; }
.numbers td, .numbers th {
  text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap;
}
.numbers td:first-child, .numbers th:first-child { text-align: left; }
.facts th { width: 34%; font-weight: 500; color: var(--soft); }
.facts td, code {
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono",
    monospace;
  font-size: .8125rem; overflow-wrap: anywhere;
}
.versus { padding: 14px 18px 16px; }
.versus + .versus { margin-top: 12px; }
.versus p { margin: 0 0 8px; }
.versus span { color: var(--soft); font-size: .875rem; }
dl {
  display: grid; gap: 8px 16px; margin: 0;
  grid-template-columns: repeat(auto-fit, minmax(130px, 1fr));
}
dt { color: var(--soft); font-size: .875rem; }
dd { margin: 0; font-size: 1.2rem; font-variant-numeric: tabular-nums; }
.columns {
  display: grid; gap: 0 16px; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr));
}
summary { cursor: pointer; font-size: 1.05rem; font-weight: 700; margin: 40px 0 12px; }
footer { margin-top: 40px; color: var(--soft); font-size: .875rem; }
@media (max-width: 640px) {
  main { padding: 20px 14px 40px; }
  h1 { font-size: 1.4rem; }
  .cards { grid-template-columns: 1fr 1fr; gap: 10px; }
  .cards li { padding: 10px 12px 12px; }
  .cards strong { font-size: 1.35rem; }
  .charts { gap: 10px; }
  figure { padding: 12px 10px 8px; }
  svg text { font-size: 17px; }
  th, td { padding: 6px 12px; }
  .versus { padding: 10px 12px 12px; }
  dl { grid-template-columns: 1fr 1fr; }
}
@media print {
  body { background: none; }
  figure, .cards li, .box { break-inside: avoid; }
}
)css";

}  // namespace altprop::training

#endif  // COMMON_TRAINING_REPORT_STYLE_H_
