// Plays once when a picture comes into view.

/**
 * Play once when a picture comes into view; show the end at once to those who want no motion.
 * @param {import("./panel.js").Panel} panel
 * @param {HTMLElement} picture
 * @param {import("./player.js").Player} player
 */
export function playWhenSeen(panel, picture, player) {
  if (panel.still || matchMedia("(prefers-reduced-motion: reduce)").matches) return player.end();
  const seen = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      if (player.position === 0) player.play();
    },
    { threshold: 0.6 },
  );
  seen.observe(picture);
}

/**
 * Move a player by keys: space plays, arrows step.
 * @param {KeyboardEvent} event
 * @param {import("./player.js").Player} player
 * @returns {boolean} whether the key was for the player
 */
export function playerKey(event, player) {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (event.key === " ") player.playing ? player.pause() : player.play();
  else if (by) player.seek((by > 0 ? Math.floor(player.position) : Math.ceil(player.position)) + by);
  else return false;
  return true;
}
