// The one door to Preact and htm. Modules import from here, never from vendor/, so that a new version is one line.

export {
  html,
  render,
  h,
  createContext,
  useCallback,
  useContext,
  useEffect,
  useErrorBoundary,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from "../vendor/standalone.module.js";
