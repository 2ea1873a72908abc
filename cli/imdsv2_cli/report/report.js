"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const names = data.columns;
  const rows = data.rows.map((packed) =>
    packed.map((value, column) => (data.words[column] ? data.words[column][value] : value)));
  const texts = rows.map((row) => row.join("\u0001").toLowerCase());
  const at = Object.fromEntries(names.map((name, column) => [name, column]));
  const numeric = new Set([at.calls]);
  const size = 100;
  const body = document.querySelector("#instances tbody");
  const heads = [...document.querySelectorAll("#instances th")];
  const form = document.getElementById("filters");
  const status = document.getElementById("shown");
  const [back, on] = ["back", "on"].map((name) => document.getElementById(name));
  let page = 0;
  let found = rows.map((_, number) => number);
  let sorted = { column: null, up: true };

  for (const select of form.querySelectorAll("select")) {
    const column = at[select.name];
    for (const word of [...new Set(rows.map((row) => row[column]))].sort()) {
      const option = document.createElement("option");
      option.value = word;
      option.textContent = word === "" ? "(none)" : word;
      select.append(option);
    }
  }

  const compare = (a, b) => {
    const [x, y] = [rows[a][sorted.column], rows[b][sorted.column]];
    const order = numeric.has(sorted.column) ? Number(x || 0) - Number(y || 0) : x < y ? -1 : x > y ? 1 : 0;
    return (sorted.up ? order : -order) || a - b;
  };

  const draw = () => {
    const shown = found.slice(page * size, (page + 1) * size);
    body.replaceChildren(...shown.map((number) => {
      const line = document.createElement("tr");
      rows[number].forEach((value, column) => {
        const cell = document.createElement("td");
        if (numeric.has(column)) cell.className = "number";
        cell.textContent = value;
        line.append(cell);
      });
      return line;
    }));
    const first = found.length ? page * size + 1 : 0;
    status.textContent = `${first} to ${Math.min((page + 1) * size, found.length)} of ${found.length} (${rows.length} in all)`;
    back.disabled = page === 0;
    on.disabled = (page + 1) * size >= found.length;
  };

  const filter = () => {
    const words = form.elements.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = [...form.querySelectorAll("select")].filter((select) => select.value !== "*")
      .map((select) => [at[select.name], select.value]);
    found = [];
    rows.forEach((row, number) => {
      if (words.every((word) => texts[number].includes(word)) && chosen.every(([column, value]) => row[column] === value)) {
        found.push(number);
      }
    });
    if (sorted.column !== null) found.sort(compare);
    page = 0;
    draw();
  };

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      sorted = { column, up: sorted.column === column ? !sorted.up : true };
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sorted.up ? "ascending" : "descending");
      filter();
    });
  });
  form.hidden = false;
  document.querySelector(".pages").hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  back.addEventListener("click", () => { page -= 1; draw(); });
  on.addEventListener("click", () => { page += 1; draw(); });
  filter();
})();
