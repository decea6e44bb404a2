import js from "@eslint/js";

export default [
  js.configs.recommended,
  { rules: { "no-undef": "off", eqeqeq: "error", "no-var": "error", "prefer-const": "error", "no-shadow": "error" } }, // tsc knows what is undefined
];
