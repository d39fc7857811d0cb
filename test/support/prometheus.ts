import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
// With the .ts extension, since a script that plain Node runs loads it, too.
import { need } from './program.ts';
import { started } from './started.ts';

export interface Series {
  metric: Record<string, string>;
  /** Unix time in seconds, and the value. */
  value: [number, string];
  values: [number, string][];
}

export interface Exemplar {
  labels: Record<string, string>;
  value: string;
  /** Unix time in seconds. */
  timestamp: number;
}

/** A real Prometheus that scrapes processes every second, with the labels of pods in the cluster. */
export class Prometheus {
  private readonly url: string;
  private readonly folder: string;
  private readonly child: ChildProcess;

  private constructor(url: string, folder: string, child: ChildProcess) {
    this.url = url;
    this.folder = folder;
    this.child = child;
  }

  /** @param pods their addresses by name @param rules of a PrometheusRule @param features to turn on */
  static async start(pods: Record<string, string>, rules: unknown, features: string[] = []): Promise<Prometheus> {
    const folder = mkdtempSync(join(tmpdir(), 'floodgate-prometheus-'));
    const targets = Object.entries(pods).map(([pod, url]) => ({
      targets: [new URL(url).host],
      labels: { namespace: 'floodgate', pod },
    }));
    // JSON is YAML.
    writeFileSync(join(folder, 'rules.yml'), JSON.stringify(rules));
    writeFileSync(
      join(folder, 'prometheus.yml'),
      JSON.stringify({
        global: { scrape_interval: '1s', evaluation_interval: '1s' },
        rule_files: ['rules.yml'],
        scrape_configs: [{ job_name: 'floodgate', static_configs: targets }],
      }),
    );
    const settings = ['--web.listen-address=127.0.0.1:0', `--storage.tsdb.path=${folder}/data`];
    if (features.length > 0) settings.push(`--enable-feature=${features.join()}`);
    const child = started(
      spawn(need('prometheus'), [`--config.file=${folder}/prometheus.yml`, ...settings], {
        stdio: ['ignore', 'ignore', 'pipe'],
      }),
    );
    // Its output is read to the end: a closed pipe would end it.
    const address = await new Promise<string>((resolve, reject) => {
      let said = '';
      child.stderr.on('data', (chunk) => {
        said += chunk;
        const found = /"Listening on" address=(\S+)[\s\S]*Server is ready/.exec(said)?.[1];
        if (found) resolve(found);
      });
      child.once('close', () => reject(new Error(`Prometheus did not start: ${said}`)));
    });
    return new Prometheus(`http://${address}`, folder, child);
  }

  /** The result of an expression, now or at a time. */
  async query(expression: string, time?: number): Promise<Series[]> {
    const { result } = await this.ask('query', { query: expression, ...(time ? { time: String(time) } : {}) });
    return result;
  }

  async queryRange(query: string, start: number, end: number, step: number): Promise<Series[]> {
    const { result } = await this.ask('query_range', {
      query,
      start: String(start),
      end: String(end),
      step: String(step),
    });
    return result;
  }

  /** The exemplars of matching series since a time. */
  exemplars(query: string, start: number): Promise<{ seriesLabels: Record<string, string>; exemplars: Exemplar[] }[]> {
    return this.ask('query_exemplars', { query, start: String(start), end: String(Date.now() / 1000 + 1) });
  }

  /** All matching series. */
  series(match: string): Promise<Record<string, string>[]> {
    return this.ask('series', { 'match[]': match });
  }

  async close(): Promise<void> {
    this.child.kill('SIGTERM');
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
    rmSync(this.folder, { recursive: true, force: true });
  }

  // biome-ignore lint/suspicious/noExplicitAny: the result depends on the request
  private async ask(what: string, parameters: Record<string, string>): Promise<any> {
    const response = await fetch(`${this.url}/api/v1/${what}?${new URLSearchParams(parameters)}`);
    const { status, data, error } = (await response.json()) as { status: string; data: unknown; error?: string };
    if (status !== 'success') throw new Error(`${error} in ${JSON.stringify(parameters)}`);
    return data;
  }
}
