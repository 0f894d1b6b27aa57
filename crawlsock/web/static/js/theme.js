// Puts the chosen theme on the page before it is first drawn. A classic script on purpose: modules come too late for that.
(() => {
  try {
    const theme = localStorage.getItem("crawlsock.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // no storage: automatic
  }
})();
