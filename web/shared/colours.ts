/** Colours that tell masks apart: neighbours in number are far apart in hue. */

export type Rgb = readonly [red: number, green: number, blue: number];

const GOLDEN_ANGLE = 137.508;

/** The colour of the mask of a number, bright enough to be seen on dark and on light photos. */
export function colourOf(number: number): Rgb {
  const hue = (210 + number * GOLDEN_ANGLE) % 360;
  return fromHsl(hue, 0.85, number % 2 ? 0.62 : 0.54);
}

export function cssColour([red, green, blue]: Rgb, opacity = 1): string {
  return `rgb(${red} ${green} ${blue} / ${opacity})`;
}

function fromHsl(hue: number, saturation: number, lightness: number): Rgb {
  const chroma = saturation * Math.min(lightness, 1 - lightness);
  const channel = (offset: number) => {
    const k = (offset + hue / 30) % 12;
    return Math.round(255 * (lightness - chroma * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}
