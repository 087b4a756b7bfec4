/** Makes the tables of this application. Put your own migration tool here. */
export declare function migrate(connectionString: string): Promise<void>
//# sourceMappingURL=migrate.d.ts.map
