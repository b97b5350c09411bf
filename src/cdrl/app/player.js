// Keeps the two videos of a .cdrl-player together. Listens on the document, since Gradio replaces its contents.
(() => {
  const MOST_APART = 0.06; // seconds; less than two frames
  const player = (target) => target instanceof Element && target.closest(".cdrl-player");
  const parts = (box) => {
    const [source, edited] = box.querySelectorAll("video");
    return { source, edited, play: box.querySelector(".cdrl-play"), seek: box.querySelector(".cdrl-seek"),
      time: box.querySelector(".cdrl-time") };
  };
  const clock = (seconds) =>
    `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  const toggle = ({ source, edited }) => {
    if (edited.paused) {
      if (edited.ended) source.currentTime = edited.currentTime = 0;
      edited.play();
    } else edited.pause();
  };
  const follow = ({ source, edited }) => {
    if (Math.abs(source.currentTime - edited.currentTime) > MOST_APART && !source.seeking)
      source.currentTime = Math.min(edited.currentTime, source.duration || Infinity);
  };
  const show = ({ edited, seek, time }) => {
    if (!edited.duration) return;
    seek.max = edited.duration;
    seek.value = edited.currentTime;
    seek.setAttribute("aria-valuetext", `${edited.currentTime.toFixed(1)} seconds`);
    time.textContent = `${clock(edited.currentTime)} / ${clock(edited.duration)}`;
  };
  // What happens to the edited video happens to the source; media events do not bubble, so they are captured.
  const on = (name, act) =>
    document.addEventListener(name, (event) => {
      const box = player(event.target);
      if (!box) return;
      const found = parts(box);
      if (event.target === found.edited) act(found);
    }, true);
  on("play", (found) => {
    follow(found);
    found.source.play();
    found.play.textContent = "❚❚";
    found.play.setAttribute("aria-label", "Pause");
    const step = () => {
      show(found);
      if (!found.edited.paused && found.edited.isConnected) requestAnimationFrame(step);
    };
    step();
  });
  on("pause", (found) => {
    found.source.pause();
    follow(found);
    found.play.textContent = "▶";
    found.play.setAttribute("aria-label", "Play");
  });
  for (const name of ["timeupdate", "seeked", "loadedmetadata"]) on(name, (found) => { follow(found); show(found); });
  document.addEventListener("click", (event) => {
    const box = player(event.target);
    if (box && event.target.closest(".cdrl-play, video")) toggle(parts(box));
  });
  document.addEventListener("input", (event) => {
    const box = player(event.target);
    if (!box || !event.target.matches(".cdrl-seek")) return;
    const found = parts(box);
    found.edited.currentTime = found.source.currentTime = Number(event.target.value);
  });
})();
