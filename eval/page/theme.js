'use strict';
function reach() { // what scrolls sideways is reached by the keyboard
  for (const one of document.querySelectorAll('pre, .equation, .wide, figure')) {
    if (one.scrollWidth > one.clientWidth) one.tabIndex = 0;
    else one.removeAttribute('tabindex');
  }
}
addEventListener('resize', reach);
document.addEventListener('toggle', reach, true);
reach();
addEventListener('beforeprint', () => document.querySelectorAll('details').forEach((each) => { each.open = true; }));
