/*
 * The horizon: no committed event is ever skipped (docs/protocols.md).
 *
 * Publishers draw numbers from a sequence before they commit, so a lower number may become visible after
 * a higher one. Each publisher registers with a shared advisory lock on the last number drawn before its
 * own; a reader asks for the last number, then for the lowest lock, and only then reads rows up to both.
 *
 * A step of this model (a d_step, or a statement outside one) is one thing that the server does at once.
 * Its comment names the SQL that it stands for; draw_sequence() and horizon() are in migrations/, the
 * reader is packages/core/src/outbox/tail.ts.
 *
 * What -D selects:
 *   PUBLISHERS, WINDOW   how many transactions publish at a time, and how many numbers may be in the
 *                        window: drawn, and not yet forgotten by forget_settled() below
 *   REMEMBER             forgets nothing: no more than WINDOW numbers are ever drawn
 *   CRASH                the server crashes at any time, any number of times; the WAL is modelled
 *   ASYNC_COMMIT         with CRASH: synchronous_commit = off for everybody
 * Broken on purpose; the model must find each of them out:
 *   NAIVE                reads every visible row above the cursor
 *   H_AFTER_F            looks at the locks before it reads the last number
 *   ONE_SNAPSHOT         one SQL statement for all three: its snapshot of the rows is older than its look
 *   LATE_LOCK            takes the lock after the first number is drawn
 *   EARLY_RELEASE        releases the lock before the commit is visible
 *   STICKY_SETTING       "registered" outlives a ROLLBACK TO SAVEPOINT that released the lock
 *   JOIN_PID             joins the locks with live sessions, and so overlooks prepared transactions
 *   CACHED_NUMBERS       the sequence has CACHE 2
 *   KEEP_POSITION        with CRASH: keeps its position in memory when it connects again
 *   CURSOR_TAKES_H       the cursor moves to the horizon instead of to the last row
 *   REACH                claims that the reader is never given a full window: refuting it shows that the
 *                        search gets there
 */
#ifndef PUBLISHERS
#define PUBLISHERS 3
#endif
#ifndef WINDOW
#define WINDOW 3
#endif

#define NONE 15                          /* no lock held, no floor read, no round under way */
#define row(n) (1 << ((n) - 1))          /* the set of row n alone */
#define upto(n) ((1 << (n)) - 1)         /* the set of rows 1..n */

byte last;                               /* the sequence's last_value */
byte visible;                            /* the rows that a new snapshot sees */

byte floorRead[PUBLISHERS] = NONE;       /* what the trigger has read and not yet locked */
byte lock[PUBLISHERS] = NONE;            /* the floor of the shared advisory lock that it holds */
byte rows[PUBLISHERS];                   /* inserted and not yet visible */
bit registered[PUBLISHERS];              /* the transaction-local setting tidemark.publisher_… */
#define publishing(p) (registered[p] || floorRead[p] != NONE)

byte cursor;                             /* the reader's position */
byte seen;                               /* the rows that it was given */
byte bound = NONE;                       /* the highest number that it may read in this round */
bit quiet;                               /* nobody has published since this round began */

/* Not part of the state. (A breadth-first search, which finds the shortest failure, has no such thing.) */
#ifdef BREADTH_FIRST
#define aside
#else
#define aside hidden
#endif
aside byte forgotten;                    /* how many numbers are forgotten, to print the real ones */
aside byte i, n, page;                   /* scratch of a d_step: never read before it is set */

#if defined(CRASH) || defined(JOIN_PID)
#define MAY_PREPARE
bit prepared[PUBLISHERS];
#endif

#ifdef CACHED_NUMBERS
byte cached[PUBLISHERS];                 /* the number that each session has left in its cache */
#define next_cached(p) (cached[p] == 1)
#define room(p) (cached[p] || last + 2 <= WINDOW)
#else
#define next_cached(p) false
#define room(p) (last < WINDOW)
#endif

#ifdef ONE_SNAPSHOT
byte snapshot;
#endif

#ifdef CRASH
/* The WAL is one sequence: what is on disk is all that had been written when it was last flushed. */
byte written;                            /* the rows whose commit record is written */
byte stored;                             /* the cursor's row in the database */
byte flushedRows, flushedLast, flushedStored;
bit killed[PUBLISHERS], readerKilled;
#define FLUSH flushedRows = written; flushedLast = last; flushedStored = stored
#define or_dies(guard, restart) unless { guard -> restart }
#else
#define or_dies(guard, restart)
#endif

/* G2: a visible row at or below the cursor that the reader was not given is skipped for ever. */
#define NOTHING_SKIPPED assert((visible & ~seen & upto(cursor)) == 0)

/*
 * Only the order of numbers matters, never their size. So once number 1 can make no difference any more
 * (rolled back, or delivered and durable; nobody holds, has read or may read up to a lower number) it is
 * dropped and all others move down by one. What is left is a window over an endless history: the search
 * covers any number of events and transactions, with at most WINDOW numbers in the window at a time.
 */
inline forget_settled() {
    do
#ifndef REMEMBER
    :: last && bound ->
        i = 0;
        do
        :: i < PUBLISHERS && floorRead[i] && lock[i] && !(rows[i] & 1) && !next_cached(i) -> i++
        :: else -> break
        od;
        if
#ifdef CRASH
        :: i == PUBLISHERS && flushedLast &&
           (!((visible | written | flushedRows) & 1) ||
            (cursor && stored && flushedStored && (visible & written & flushedRows & 1))) ->
            written = written >> 1; flushedRows = flushedRows >> 1; flushedLast--;
            stored = (stored -> stored - 1 : 0);
            flushedStored = (flushedStored -> flushedStored - 1 : 0);
#else
        :: i == PUBLISHERS && (cursor || !(visible & 1)) ->
#endif
            last--; visible = visible >> 1; seen = seen >> 1;
            cursor = (cursor -> cursor - 1 : 0);
            bound = (bound != NONE -> bound - 1 : NONE);
#ifdef ONE_SNAPSHOT
            snapshot = snapshot >> 1;
#endif
            i = 0;
            do
            :: i < PUBLISHERS ->
                rows[i] = rows[i] >> 1;
                floorRead[i] = (floorRead[i] != NONE -> floorRead[i] - 1 : NONE);
                lock[i] = (lock[i] != NONE -> lock[i] - 1 : NONE);
#ifdef CACHED_NUMBERS
                cached[i] = (cached[i] -> cached[i] - 1 : 0);
#endif
                i++
            :: else -> break
            od;
            forgotten++
        :: else -> break
        fi
#endif
    :: else -> break
    od;
    i = 0                                /* a d_step may not end in a jump */
}

#ifdef LATE_LOCK
#define may_draw publishing(me)
#else
#define may_draw registered[me]
#endif

/* nextval(), the column's default: once for each row, after the statement's BEFORE trigger. */
inline draw() {
    d_step {
        may_draw && room(me) ->
#ifdef CACHED_NUMBERS
        if
        :: cached[me] -> n = cached[me]; cached[me] = 0
        :: else -> n = last + 1; last = last + 2; cached[me] = last
        fi;
#else
        last++;
        n = last;
#endif
        assert(!(visible & row(n)));
        rows[me] = rows[me] | row(n);
        printf("publisher %d draws %d and inserts its row\n", me, forgotten + n)
    }
}

/* One session after the other, and in each one transaction after the other, without end. */
proctype Publisher(byte me) {
session:
    {
    do
    :: d_step {
        /* A statement that inserts into events; first its first row's default, draw_sequence():
           floor_key := … pg_sequence_last_value(…). Sessions are alike: of the idle ones the first begins. */
        !registered[me] && (me == 0 || publishing(me - 1)) ->
        floorRead[me] = last;
        quiet = false;
        printf("publisher %d reads floor %d\n", me, forgotten + last)
       };
#ifdef LATE_LOCK
        draw();
#endif
        d_step {                         /* pg_try_advisory_xact_lock_shared(floor_key), set_config(…) */
            lock[me] = floorRead[me];
            floorRead[me] = NONE;
            registered[me] = true;
            printf("publisher %d takes the lock on floor %d\n", me, forgotten + lock[me])
        }

    :: draw()                            /* the same statement, or one more in the same transaction */

    :: registered[me] ->
        /* COMMIT; or PREPARE TRANSACTION, and COMMIT PREPARED at any time after. */
#ifdef MAY_PREPARE
        if
        :: d_step {                      /* PREPARE flushes the WAL; the lock has no pid from now on */
               prepared[me] = true;
#ifdef CRASH
               FLUSH;
#endif
               printf("publisher %d is prepared\n", me)
           }
        :: true
        fi;
#endif
#ifdef CRASH
        d_step {                         /* the commit record; a synchronous commit flushes it */
            written = written | rows[me];
#ifndef ASYNC_COMMIT
            FLUSH;
#endif
            prepared[me] = false;
            printf("publisher %d has its commit in the WAL\n", me)
        };
#endif
#ifdef EARLY_RELEASE
        d_step {
            lock[me] = NONE;
            printf("publisher %d releases its lock\n", me)
        };
#endif
        d_step {                         /* ProcArrayEndTransaction: new snapshots see the rows … */
            visible = visible | rows[me];
            rows[me] = 0;
            printf("publisher %d has committed: its rows are visible\n", me);
            NOTHING_SKIPPED
        };
        d_step {                         /* … and then ResourceOwnerRelease: the locks go */
            lock[me] = NONE;
            registered[me] = false;
#ifdef MAY_PREPARE
            prepared[me] = false;
#endif
#ifndef EARLY_RELEASE
            printf("publisher %d releases its lock\n", me);
#endif
            forget_settled()
        }

    :: registered[me] ->
        /* ROLLBACK; or ROLLBACK TO a savepoint within which the transaction published first. */
        d_step {
            rows[me] = 0;
            lock[me] = NONE;
#ifndef STICKY_SETTING
            registered[me] = false;
#endif
            printf("publisher %d rolls back and releases its lock\n", me);
            forget_settled()
        }

    :: rows[me] ->
        /* ROLLBACK TO a savepoint that is younger than the lock: the row goes, lock and setting stay. */
        d_step {
            n = WINDOW;
            do
            :: !(rows[me] & row(n)) -> n--
            :: else -> break
            od;
            rows[me] = rows[me] & ~row(n);
            printf("publisher %d rolls row %d back to a savepoint\n", me, forgotten + n);
            forget_settled()
        }
    od
    }
    or_dies(killed[me], d_step {
        killed[me] = false; rows[me] = 0; floorRead[me] = NONE; registered[me] = false;
        forget_settled()
    }; goto session)
}

inline begin_round() {
    quiet = true;
    i = 0;
    do
    :: i < PUBLISHERS -> quiet = quiet && !publishing(i); i++
    :: else -> break
    od
}

/* bound := least(bound, the lowest floor that is locked) */
inline lowest_floor() {
    i = 0;
    do
    :: i < PUBLISHERS ->
#ifdef JOIN_PID
        bound = (lock[i] < bound && !prepared[i] -> lock[i] : bound);
#else
        bound = (lock[i] < bound -> lock[i] : bound);
#endif
        i++
    :: else -> break
    od
}

inline read_page(limit) {
    d_step {
#ifdef ONE_SNAPSHOT
        page = snapshot & upto(bound) & ~upto(cursor);
        snapshot = 0;
#else
        page = visible & upto(bound) & ~upto(cursor);
#endif
        quiet = quiet && limit == WINDOW;
#ifdef REACH
        assert(page != upto(WINDOW));
#endif
        n = (limit == WINDOW -> WINDOW : 1);
        do
        :: limit == WINDOW && n && !(page & row(n)) -> n--
        :: limit == 1 && n <= WINDOW && !(page & row(n)) -> n++
        :: else -> break
        od;
        n = (n > WINDOW -> 0 : n);       /* the last row of the page, 0 if it is empty */
        seen = seen | (page & upto(n));
        cursor = (n > cursor -> n : cursor);
#ifdef CURSOR_TAKES_H
        cursor = (limit == WINDOW && bound > cursor -> bound : cursor);
#endif
        printf("reader reads its page and moves its cursor to %d\n", forgotten + cursor);
        NOTHING_SKIPPED;
        /* G5: nobody has published during the round, so it must have delivered everything. */
        assert(!quiet || seen == visible);
        bound = NONE;
        quiet = false;
        forget_settled()
    }
}

active proctype Reader() {
round:
    {
    do
    ::
#if defined(ONE_SNAPSHOT)
        d_step { begin_round(); snapshot = visible; printf("reader takes its snapshot\n") };
        d_step { bound = last; printf("reader reads the last number, %d\n", forgotten + bound) };
        d_step { lowest_floor(); printf("reader may read up to %d\n", forgotten + bound) };
#elif defined(NAIVE)
        d_step { begin_round(); bound = WINDOW };
#elif defined(H_AFTER_F)
        d_step { begin_round(); bound = NONE - 1; lowest_floor(); printf("reader looks at the locks\n") };
        d_step { bound = (last < bound -> last : bound); printf("reader may read up to %d\n", forgotten + bound) };
#else
        d_step {                         /* horizon(): last_sequence := pg_sequence_last_value(…) */
            begin_round();
            bound = last;
            printf("reader reads the last number, %d\n", forgotten + bound)
        };
        d_step {                         /* horizon(): SELECT min(p.floor) INTO lowest_floor FROM publishers p */
            lowest_floor();
            printf("reader may read up to %d\n", forgotten + bound);
            forget_settled()
        };
#endif
        /* the page: SELECT … WHERE sequence > cursor AND sequence <= bound ORDER BY sequence LIMIT … */
        if
        :: read_page(WINDOW)
        :: read_page(1)
        fi;
#ifdef CRASH
        /* The batch's commit stores the cursor; events without a handler move it lazily, in memory. */
        if
        :: d_step {
               stored = cursor;
#ifndef ASYNC_COMMIT
               FLUSH;
#endif
               printf("reader stores its cursor, %d\n", forgotten + stored);
               forget_settled()
           }
        :: true
        fi
#endif
    od
    }
    /* The process outlives the server: it connects again and goes on from its cursor. */
    or_dies(readerKilled, d_step {
        readerKilled = false;
        printf("reader connects again, its cursor is %d\n", forgotten + cursor);
        forget_settled()
    }; goto round)
}

#ifdef CRASH
/* The WAL writer flushes at any time: a crash may lose any unflushed end of the WAL. */
active proctype WalWriter() {
    do
    :: d_step { FLUSH; forget_settled() }
    od
}

/* Recovery brings back what was flushed. A prepared transaction keeps its lock; every connection is gone.
   The numbers drawn and not flushed are drawn again. (Recovery may also skip up to 32 numbers: they pass
   like the numbers of a rollback.) */
active proctype Crash() {
    do
    :: d_step {
        last = flushedLast;
        written = flushedRows;
        visible = flushedRows;
        seen = seen & flushedRows;
        stored = flushedStored;
        i = 0;
        do
        :: i < PUBLISHERS ->
            if
            :: prepared[i]
            :: else -> lock[i] = NONE; floorRead[i] = NONE; rows[i] = 0; killed[i] = true
            fi;
            i++
        :: else -> break
        od;
        readerKilled = true;
        bound = NONE;
        quiet = false;
#ifndef KEEP_POSITION
        cursor = stored;                 /* the process forgets its position with its connection */
#endif
        printf("the server crashes and recovers: the last number is %d\n", forgotten + last)
       }
    od
}
#endif

init {
    byte p;
    atomic {
        do
        :: p < PUBLISHERS -> run Publisher(p); p++
        :: else -> break
        od
    }
}
