// What the fleet's API sends: schemas/openapi.json says more of each. For the type check alone, no browser gets it.

export type Latency = { p50: number; p90: number; p99: number; p99_9: number };
export type State = "starting" | "ready" | "unready" | "draining" | "paused" | "gone";
export type Action = "kill" | "pause" | "resume" | "drain" | "start" | "ready" | "unready";

export type Backend = {
  name: string;
  url: string;
  state: State;
  faults: string[];
  actions: Action[];
};

export type BackendFigures = {
  requests: number;
  share: number | null;
  expected: number | null;
  rate: number;
  errors: number;
  in_flight: number;
  latency: Latency | null;
};

export type Figures = { rate: number; latency: Latency | null; client: Latency | null; backends: BackendFigures[] };
export type Second = { at: number; counts: number[]; latency: Latency | null; is_check: boolean };
export type MarkKind = "backend" | "fault" | "error" | "retry" | "double" | "lost" | "front" | "check";
export type Mark = { id: number; at: number; kind: MarkKind; backend: string | null; count: number; text: string };

export type SeenRequest = {
  backend: string;
  at: number;
  response: string;
  peer: string;
  method: string;
  path: string;
  status: number;
  headers: [string, string][];
};

export type BalancerInfo = {
  url: string;
  balancer: string | null;
  algorithm: string | null;
  weights: number[];
  choices: string[];
  backups: number[];
  reloads: boolean | null;
  retries: boolean | null;
  problem: string | null;
};

export type Verdict = "pass" | "note" | "inconclusive" | "fail";

export type CheckNews = {
  url: string;
  phase: string;
  sent: number;
  total: number;
  result: {
    verdict: Verdict;
    algorithm: string | null;
    sent: number;
    outcomes: [string, number][];
    client: Latency | null;
    findings: [Verdict, string, string | null][];
  } | null;
  error: string | null;
};

export type Snapshot = {
  owner: boolean;
  at: number;
  kept: { seconds: number; strip: number; marks: number; requests: number };
  fleet: { backends: Backend[] };
  figures: Figures;
  seconds: Second[];
  strip: number[];
  strip_end: number;
  marks: Mark[];
  requests: SeenRequest[];
  front: BalancerInfo | null;
  check: CheckNews | null;
};

export type Frame = {
  at: number;
  figures: Figures;
  seconds: Second[];
  strip: number[];
  strip_end: number;
  marks: Mark[];
  requests: SeenRequest[];
  backends: Backend[] | null;
  front: BalancerInfo | null;
  check: CheckNews | null;
};

// Who answered each request that the page sent.
export type Answers = { answers: { backend: string | null; seen: string; status: number }[] };
