export { ALARMS, byWeight, type Alarm, type AlarmName } from './alarms.js';
export { formatMonitorState, MalformedMonitorState, parseMonitorState, type MonitorState } from './monitor-state.js';
export { monitorRound, type MonitorOptions, type MonitorRound } from './monitor.js';
export type { MonitoredLogs, MonitorSource, Reconciliation } from './watch-tree.js';
