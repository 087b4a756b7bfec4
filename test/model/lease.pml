/*
 * The fence: each event takes effect exactly once and in order (docs/protocols.md).
 *
 * A listener partition has one row: who owns it, the epoch, the cursor, the state of a state projection.
 * Whoever finds the lease expired takes the row over and raises the epoch. A batch is one transaction:
 * the fence (an UPDATE that finds the row only with the owner's own epoch and cursor, and locks it), the
 * handlers' effects, COMMIT. Between any two steps an owner may stand still for as long as it likes
 * (paused, swapped out, partitioned), lose its connection or die, and its lease may expire meanwhile.
 *
 * A step of this model (a d_step, or a statement outside one) is one thing that the server does at once.
 * Its comment names the statement that it stands for: packages/core/src/database/sql/cursors.ts, with
 * listener/lease.ts around it.
 *
 * What -D selects:
 *   OWNERS, EVENTS       processes that want the row, and events to apply
 *   NO_OPERATOR          leaves out the operator, who resets the projection or retries a dead letter
 * Broken on purpose; the model must find each of them out:
 *   NO_FENCE             moves the cursor without a condition
 *   FENCE_WITHOUT_LOCK   the condition is a SELECT, the cursor moves later
 *   TWO_TRANSACTIONS     commits the effects, then moves the cursor
 *   NO_CURSOR_CHECK      the fence compares only the epoch
 *   NO_EPOCH_CHECK       the fence compares only the cursor (nothing is found with NO_OPERATOR:
 *                        see docs/protocols.md for what the epoch adds)
 *   OPERATOR_KEEPS_EPOCH the operator changes the row and leaves its epoch alone
 *   LOAD_BEFORE_ACQUIRE  an owner loads cursor and state before it acquires the lease
 *   KEEP_FOLD            what was folded into the state in memory survives a rollback
 *   RETRY_AGAIN          a dead letter whose answer was lost is tried again under the same lease: its batch
 *                        does not move the cursor, so the fence has nothing to notice
 *   REACH                claims that nobody is ever fenced off after another owner has done everything:
 *                        refuting it shows that the search gets there
 */
#ifndef OWNERS
#define OWNERS 2
#endif
#ifndef EVENTS
#define EVENTS 3
#endif

#define NOBODY 15

/* How a batch ends: committed, refused by the fence, or rolled back (or so it seems). */
#define DONE 1
#define LOST 2
#define FAILED 3

/* The row of cursors, committed. */
byte owner = NOBODY;
bit expired;                             /* lease_until < now() */
byte cursor;
byte version;                            /* the definition that the state was folded with */
byte state;                              /* how many events are folded into it */
byte rowLock = NOBODY;                   /* the transaction that has updated the row and is still open */

/* Epochs only rise: of an owner's epoch nothing matters but whether it is still the row's. */
bit current[OWNERS];

/* What the handlers have committed. */
byte effects;                            /* events 1..effects have taken effect, once each */
bit parked;                              /* a dead letter that the operator wants tried again */
byte retried;                            /* dead letters that have taken effect since the last reset */
byte requests, resets;                   /* of the operator, so that they end */

/* Each owner's memory; it is not shared, but the row's RETURNING fills it. */
byte myCursor[OWNERS], myVersion[OWNERS], myState[OWNERS];

inline raise_epoch() {
    p = 0;
    do
    :: p < OWNERS -> current[p] = false; p++
    :: else -> break
    od;
    p = 0
}

inline load() {
    myCursor[me] = cursor; myVersion[me] = version; myState[me] = state
}

inline forget() {
    myCursor[me] = 0; myVersion[me] = 0; myState[me] = 0; current[me] = false
}

/* The fence's WHERE. */
#ifdef NO_EPOCH_CHECK
#define epoch_holds true
#else
#define epoch_holds current[me]
#endif
#ifdef NO_CURSOR_CHECK
#define cursor_holds true
#else
#define cursor_holds (cursor == myCursor[me])
#endif
#ifdef NO_FENCE
#define fence_holds true
#else
#define fence_holds (epoch_holds && cursor_holds)
#endif

/* G4: the effects that commit now are those of the next events (or of the dead letter), and no others. */
inline commit_effects() {
    if
    :: retrying -> assert(parked && effects == myCursor[me]); parked = false; retried++
    :: else -> assert(effects == myCursor[me]); effects = to
    fi
}

/* … and cursor and state say just what has taken effect. */
#define ROW_IS_EXACT assert(cursor == effects && version == resets && state == effects + retried)

/* One batch, from myCursor up to `to`: `retrying` when it is about the dead letter. */
inline run_batch() {
    /* advance_cursor (or advance_state): UPDATE … WHERE … epoch = $4 AND cursor = $5. It waits for whoever
       has updated the row, and then compares with what that one left (READ COMMITTED). */
    if
    :: d_step {
           rowLock == NOBODY && fence_holds ->
#ifndef FENCE_WITHOUT_LOCK
           rowLock = me;
#endif
           printf("owner %d passes the fence at cursor %d\n", me, myCursor[me])
       };
       /* The handlers, in the same transaction; a state projection folds in memory. */
#ifdef KEEP_FOLD
       d_step { myState[me] = myState[me] + to - myCursor[me] + retrying; folded = myState[me] };
#else
       folded = myState[me] + to - myCursor[me] + retrying;
#endif
       if
       ::
#ifdef TWO_TRANSACTIONS
           d_step { commit_effects(); printf("owner %d commits the effects up to %d\n", me, to) };
           if
           :: true
           :: d_step { rowLock = (rowLock == me -> NOBODY : rowLock) }; goto idle    /* dies between the two */
           fi;
#endif
           d_step {                      /* COMMIT */
#ifndef TWO_TRANSACTIONS
               commit_effects();
#endif
               cursor = to;
               version = myVersion[me];
               state = folded;
               expired = false;          /* lease_until = clock_timestamp() + … */
               rowLock = NOBODY;
               printf("owner %d commits, cursor %d, retry %d\n", me, to, retrying);
               ROW_IS_EXACT
           };
           if
           :: d_step { myCursor[me] = to; myState[me] = folded; outcome = DONE }
           :: outcome = FAILED           /* the answer is lost */
           fi
       ::  d_step {                      /* a handler fails, or the server ends the session */
               rowLock = (rowLock == me -> NOBODY : rowLock);
               outcome = FAILED;
               printf("owner %d rolls its batch back\n", me)
           }
       fi
    :: d_step {                          /* zero rows */
           rowLock == NOBODY && !(fence_holds) ->
           outcome = LOST;
#ifdef REACH
           assert(owner == me || owner == NOBODY || cursor != EVENTS);
#endif
           printf("owner %d is fenced off at cursor %d\n", me, myCursor[me])
       }
    fi;
    d_step { to = 0; folded = 0 }
}

proctype Owner(byte me) {
    byte to, folded, outcome, p;
    bit retrying;

idle:
    atomic { forget(); to = 0; folded = 0; outcome = 0; retrying = false };
#ifdef LOAD_BEFORE_ACQUIRE
    d_step { load() };
#endif
    d_step {                             /* acquire_leases: UPDATE … SET owner, epoch = epoch + 1 … RETURNING */
        rowLock == NOBODY && (owner == NOBODY || expired) ->
        raise_epoch();
        current[me] = true;
        owner = me;
        expired = false;
#ifndef LOAD_BEFORE_ACQUIRE
        load();
#endif
        printf("owner %d takes the lease over, cursor %d\n", me, myCursor[me])
    };

    /* Before anything else: read_retries, a statement of its own, and what it finds is handled. */
    d_step { retrying = parked };
    do
    :: retrying ->
        to = myCursor[me];
        run_batch();
        if
#ifdef RETRY_AGAIN
        :: outcome == FAILED
#else
        :: outcome == FAILED -> goto idle
#endif
        :: outcome == LOST -> goto idle
        :: outcome == DONE -> retrying = false
        fi;
        outcome = 0
    :: !retrying -> break
    od;

    do
    :: myCursor[me] < EVENTS ->
        /* What page there is: one event or more. */
        if
        :: to = myCursor[me] + 1
        :: myCursor[me] + 2 <= EVENTS -> to = myCursor[me] + 2
        fi;
        run_batch();
        if
        :: outcome == LOST -> goto idle  /* drop the lease, report */
        :: outcome != LOST -> outcome = 0     /* go on; what failed is tried again */
        fi
    :: goto idle                         /* the process dies: its lease stays until it expires */
    :: d_step {                          /* release_lease: UPDATE … SET owner = NULL … WHERE … epoch = $4 */
           rowLock == NOBODY ->
           if
           :: current[me] -> owner = NOBODY; printf("owner %d releases the lease\n", me)
           :: else
           fi
       };
       goto idle
    od
}

/* Time passes: any lease that is not renewed expires. (A heartbeat renews it; that changes nothing here.) */
active proctype Clock() {
    do
    :: d_step { owner != NOBODY && !expired -> expired = true; printf("the lease expires\n") }
    od
}

#ifndef NO_OPERATOR
/* Whoever changes what an owner has in memory, and does not own the row, raises the epoch. */
active proctype Operator() {
    byte p;
    do
    :: d_step {                          /* rewind_cursors: a replay from zero, perhaps with a new definition */
           rowLock == NOBODY && resets < 2 ->
           resets++;
           cursor = 0; version = resets; state = 0; effects = 0; retried = 0; parked = false;
#ifndef OPERATOR_KEEPS_EPOCH
           raise_epoch();
           owner = NOBODY;
#endif
           printf("operator resets the projection\n")
       }
    :: d_step {                          /* a dead letter is to be tried again: it is marked, in one transaction … */
           rowLock == NOBODY && requests < 1 && !parked ->
           requests++;
           parked = true;
#ifndef OPERATOR_KEEPS_EPOCH
           raise_epoch();                /* … with the epoch, so that an owner comes and looks */
           owner = NOBODY;
#endif
           printf("operator wants a dead letter tried again\n")
       }
    od
}
#endif

init {
    byte p;
    atomic {
        do
        :: p < OWNERS -> run Owner(p); p++
        :: else -> break
        od
    }
}
