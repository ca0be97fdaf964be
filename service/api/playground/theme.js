// Light, dark, or as the system has it. Loaded before the first paint, so that the page never flashes.
const ORDER = ["auto", "light", "dark"];

let chosen = "auto";
try {
  chosen = localStorage.getItem("theme") ?? "auto";
} catch {
  // storage may be forbidden: the choice then lasts as long as the page
}

function apply() {
  document.documentElement.dataset.theme = chosen;
}

export function offer(button) {
  const tell = () => {
    button.textContent = `Theme: ${chosen}`;
  };
  button.addEventListener("click", () => {
    chosen = ORDER[(ORDER.indexOf(chosen) + 1) % ORDER.length];
    try {
      localStorage.setItem("theme", chosen);
    } catch {
      // see above
    }
    apply();
    tell();
  });
  tell();
}

apply();
