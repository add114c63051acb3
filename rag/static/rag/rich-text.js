// A few lines of Markdown as DOM nodes. Text only ever enters as textContent.

const INLINE = /(\*\*[^*]+\*\*|`[^`]+`|\[\d{1,2}\]|\[[^\]]+\]\([^)\s]+\))/;

/** Append text with **bold**, `code` and citation marks; `cite(n)` gives a mark's node or null. */
function inline(parent, text, cite) {
  for (const part of text.split(INLINE)) {
    if (!part) continue;
    const mark = /^\[(\d{1,2})\]$/.exec(part);
    const link = /^\[([^\]]+)\]\([^)\s]+\)$/.exec(part);
    const node = mark && cite(Number(mark[1]));
    if (node) {
      parent.append(node);
    } else if (part.startsWith("**") && part.length > 4) {
      const strong = document.createElement("strong");
      strong.textContent = part.slice(2, -2);
      parent.append(strong);
    } else if (part.startsWith("`") && part.length > 2) {
      const code = document.createElement("code");
      code.textContent = part.slice(1, -1);
      parent.append(code);
    } else {
      parent.append(link ? link[1] : part);
    }
  }
}

function block(name, lines, cite) {
  const node = document.createElement(name);
  lines.forEach((line, index) => {
    if (index) node.append(name === "p" ? document.createElement("br") : "\n");
    inline(node, line, cite);
  });
  return node;
}

const RULE = /^\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)*\|?\s*$/;

function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

/** A Markdown table; `lines` begin with its header and its rule. */
function grid(lines, cite) {
  const holder = document.createElement("div");
  holder.className = "scroll-x";
  const table = document.createElement("table");
  table.className = "table msg__table";
  const row = (line, name) => {
    const node = document.createElement("tr");
    for (const text of cells(line)) {
      const cell = document.createElement(name);
      inline(cell, text, cite);
      node.append(cell);
    }
    return node;
  };
  const head = document.createElement("thead");
  head.append(row(lines[0], "th"));
  const body = document.createElement("tbody");
  body.append(...lines.slice(2).map((line) => row(line, "td")));
  table.append(head, body);
  holder.append(table);
  return holder;
}

/** Render paragraphs, lists, headings, tables and fenced code into a fragment. */
export function richText(text, cite = () => null) {
  const fragment = document.createDocumentFragment();
  let paragraph = [];
  let list = null;
  const flush = () => {
    if (paragraph.length) fragment.append(block("p", paragraph, cite));
    paragraph = [];
    list = null;
  };
  const lines = text.split("\n");
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index];
    if (/^> ?/.test(line)) {
      flush();
      const quoted = [];
      for (; index < lines.length && /^> ?/.test(lines[index]); index += 1) quoted.push(lines[index].replace(/^> ?/, ""));
      index -= 1;
      const quote = document.createElement("blockquote");
      quote.append(richText(quoted.join("\n"), cite));
      fragment.append(quote);
      continue;
    }
    if (line.includes("|") && RULE.test(lines[index + 1] ?? "")) {
      flush();
      const rows = [];
      for (; index < lines.length && lines[index].includes("|"); index += 1) rows.push(lines[index]);
      index -= 1;
      fragment.append(grid(rows, cite));
      continue;
    }
    const item = /^\s*(?:[-*•]|(\d{1,3})[.)])\s+(.*)$/.exec(line);
    if (/^\s*```/.test(line)) {
      flush();
      const code = [];
      for (index += 1; index < lines.length && !/^\s*```/.test(lines[index]); index += 1) code.push(lines[index]);
      const pre = document.createElement("pre");
      pre.textContent = code.join("\n");
      fragment.append(pre);
      const after = /\[\d{1,2}\]\s*$/.exec(lines[index] ?? "");
      if (after) fragment.append(block("p", [after[0].trim()], cite));
    } else if (item) {
      if (paragraph.length) flush();
      const name = item[1] ? "ol" : "ul";
      if (list?.localName !== name) {
        list = document.createElement(name);
        if (item[1]) list.start = Number(item[1]);
        fragment.append(list);
      }
      list.append(block("li", [item[2]], cite));
    } else if (!line.trim()) {
      flush();
    } else if (list && /^\s+/.test(line)) {
      list.lastElementChild.append(" ");
      inline(list.lastElementChild, line.trim(), cite);
    } else {
      list = null;
      paragraph.push(line.replace(/^#{1,6}\s+/, ""));
    }
  }
  flush();
  return fragment;
}
