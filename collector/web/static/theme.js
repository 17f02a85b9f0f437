// Before the first paint: the theme that somebody chose.
try {
	const chosen = localStorage.getItem("collector.theme")
	if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen
} catch { /* storage is switched off: the system's preference serves */ }
