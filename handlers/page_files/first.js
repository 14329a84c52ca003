// Copy buttons appear only where copying works (a secure context: localhost or https).
if (navigator.clipboard) {
  for (const button of document.querySelectorAll('button[data-copy]')) {
    button.hidden = false;
    button.addEventListener('click', async () => {
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
        button.textContent = '已复制';
      } catch {
        button.textContent = '复制不了';
      }
      setTimeout(() => { button.textContent = '复制'; }, 1500);
    });
  }
}
