import "../shared/theme.css";
import { Navigation } from "../shared/navigation";
import { Stage } from "../shared/stage";

const canvas = document.querySelector("canvas")!;
const stage = new Stage(
  canvas,
  () => [],
  () => {},
);
new Navigation(stage, () => false);
